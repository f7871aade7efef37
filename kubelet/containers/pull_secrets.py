"""Credentials for image registries from a pod's pull secrets. Pure.

Both kinds of secret are read: ``.dockerconfigjson`` and the older ``.dockercfg``. An entry names a registry, which may
have a path, and ``*`` in parts of its host; the most specific entries are tried first.
"""

import base64
import binascii
import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery import codec

_HUB, _HUB_NAMES = "index.docker.io", ("docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, order=True)
class Credential:
    registry: str
    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.registry!r}, {self.username!r})"  # no password in a log

    def for_engine(self) -> dict[str, str]:
        """As the engine expects it with a pull."""
        if self.identity_token:
            return {"identitytoken": self.identity_token, "serveraddress": self.registry}
        return {"username": self.username, "password": self.password, "serveraddress": self.registry}


class BadSecret(ValueError):
    """A secret that does not contain credentials in its kind's format."""


def credentials_for(image: str, secrets: Iterable[Mapping[str, bytes]]) -> tuple[Credential, ...]:
    """Those that match the image's registry, the most specific first. Raises ``BadSecret``."""
    credentials = dict.fromkeys(c for secret in secrets for c in _read(secret) if _matches(c.registry, image))
    return tuple(sorted(credentials, key=lambda credential: -len(_normal(credential.registry))))


def _read(secret: Mapping[str, bytes]) -> Iterator[Credential]:
    if ".dockerconfigjson" in secret:
        entries = codec.lower_names(_document(secret[".dockerconfigjson"])).get("auths") or {}
    elif ".dockercfg" in secret:
        entries = _document(secret[".dockercfg"])
    else:
        raise BadSecret("contains neither .dockerconfigjson nor .dockercfg")
    if not isinstance(entries, dict):
        raise BadSecret("its registries are not a map")
    for registry, entry in entries.items():
        yield _credential(registry, codec.lower_names(entry) if isinstance(entry, dict) else {})


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise BadSecret(f"not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise BadSecret("not a JSON object")
    return document


def _credential(registry: str, entry: Mapping[str, Any]) -> Credential:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            username, _, password = base64.b64decode(str(entry["auth"])).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise BadSecret(f"auth of {registry}: {exc}") from exc
    return Credential(registry, username, password, str(entry.get("identitytoken") or ""))


def _matches(registry: str, image: str) -> bool:
    pattern, repository = _normal(registry).split("/"), _repository(image).split("/")
    if len(pattern[0].split(".")) != len(repository[0].split(".")):
        return False
    return fnmatch.fnmatchcase(repository[0], pattern[0]) and repository[1 : len(pattern)] == pattern[1:]


def _normal(registry: str) -> str:
    """Host and path, without scheme and API version."""
    name = registry.partition("://")[2] or registry
    for end in ("/v1/", "/v2/", "/v1", "/v2", "/"):
        name = name.removesuffix(end)
    host, slash, path = name.partition("/")
    return (_HUB if host in _HUB_NAMES else host) + slash + path


def _repository(image: str) -> str:
    """Host and path of an image; without a host it is Docker Hub's."""
    name = image.partition("@")[0]
    host, slash, path = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        return f"{_HUB}/{name if slash else f'library/{name}'}"
    return f"{_HUB if host in _HUB_NAMES else host}/{path.partition(':')[0]}"
