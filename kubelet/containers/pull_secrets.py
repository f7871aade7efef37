"""Credentials for image registries from a pod's pull secrets. Pure.

Both kinds of secret are read: ``.dockerconfigjson`` and the older ``.dockercfg``. An entry names a registry, perhaps
with a path below it and with ``*`` in parts of the host; the most particular entries are tried first.
"""

import base64
import binascii
import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_HUB, _HUB_NAMES = "index.docker.io", ("docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, order=True)
class Credential:
    registry: str
    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.registry!r}, {self.username!r})"  # a log must not hold the password

    def for_engine(self) -> dict[str, str]:
        """As the engine wants it with a pull."""
        if self.identity_token:
            return {"identitytoken": self.identity_token, "serveraddress": self.registry}
        return {"username": self.username, "password": self.password, "serveraddress": self.registry}


class BadSecret(ValueError):
    """A secret that holds no credentials as it should."""


def credentials_for(image: str, secrets: Iterable[Mapping[str, bytes]]) -> tuple[Credential, ...]:
    """Those that match the image's registry, the most particular first. Raises ``BadSecret``."""
    found = [one for secret in secrets for one in _read(secret) if _matches(one.registry, image)]
    return tuple(sorted(dict.fromkeys(found), key=lambda one: -len(_normal(one.registry))))


def _read(secret: Mapping[str, bytes]) -> Iterator[Credential]:
    if ".dockerconfigjson" in secret:
        entries = _document(secret[".dockerconfigjson"]).get("auths") or {}
    elif ".dockercfg" in secret:
        entries = _document(secret[".dockercfg"])
    else:
        raise BadSecret("neither .dockerconfigjson nor .dockercfg is in it")
    if not isinstance(entries, dict):
        raise BadSecret("its registries are no map")
    for registry, entry in entries.items():
        yield _credential(registry, entry if isinstance(entry, dict) else {})


def _document(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as exc:
        raise BadSecret(f"not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise BadSecret("not a JSON object")
    return found


def _credential(registry: str, entry: Mapping[str, Any]) -> Credential:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            username, _, password = base64.b64decode(str(entry["auth"])).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise BadSecret(f"auth of {registry}: {exc}") from exc
    return Credential(registry, username, password, str(entry.get("identitytoken") or ""))


def _matches(registry: str, image: str) -> bool:
    wanted, has = _normal(registry).split("/"), _repository(image).split("/")
    if len(wanted[0].split(".")) != len(has[0].split(".")) or not fnmatch.fnmatchcase(has[0], wanted[0]):
        return False
    return has[1 : len(wanted)] == wanted[1:]


def _normal(registry: str) -> str:
    """Host and path, without scheme and API version."""
    name = registry.partition("://")[2] or registry
    for end in ("/v1/", "/v2/", "/v1", "/v2", "/"):
        name = name.removesuffix(end)
    host, slash, path = name.partition("/")
    return (_HUB if host in _HUB_NAMES else host) + slash + path


def _repository(image: str) -> str:
    """Host and path of an image; images without a host are the Hub's."""
    name = image.partition("@")[0]
    host, slash, path = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        return f"{_HUB}/{name if slash else f'library/{name}'}"
    return f"{_HUB if host in _HUB_NAMES else host}/{path.partition(':')[0]}"
