"""Values of etcd sealed and opened, resource by resource.

The providers of a resource are tried in order: the first seals what is written, all of them open what is read. A value
that another than the first opened is stale: it is written again at its next update even if nothing changes, and so a
new key takes the old one's place: put it first, restart every apiserver, replace all objects, remove the old key.

A sealed value begins as in Kubernetes, ``k8s:enc:aesgcm:v1:<name of the key>:``, and is bound to its key in etcd, so that
nobody who can write to etcd may put one secret in the place of another.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_SEALED: Final = b"k8s:enc:"
_AESGCM: Final = b"k8s:enc:aesgcm:v1:"
_NONCE: Final = 12  # bytes, as NIST SP 800-38D recommends; random, which is safe for 2^32 writes with one key


class Unreadable(Exception):
    """No provider opens the value: its key is missing, or it was changed or moved."""


class Opened(NamedTuple):
    value: bytes
    is_stale: bool
    """Whether it is to be written again with the first provider."""


class Provider(Protocol):
    def seal(self, key: str, value: bytes) -> bytes: ...

    def opens(self, sealed: bytes) -> bool:
        """Whether the value is one of this provider's."""
        ...

    def open(self, key: str, sealed: bytes) -> Opened:
        """Raises Unreadable."""
        ...


class Identity:
    """Values as they are."""

    def seal(self, key: str, value: bytes) -> bytes:
        return value

    def opens(self, sealed: bytes) -> bool:
        return not sealed.startswith(_SEALED)

    def open(self, key: str, sealed: bytes) -> Opened:
        return Opened(sealed, is_stale=False)


class AesGcm:
    """AES in Galois/Counter mode; the first key seals.

    Args:
        keys: 16, 24 or 32 bytes each, by name.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers = {_AESGCM + name.encode() + b":": AESGCM(key) for name, key in keys.items()}
        self._first = next(iter(self._ciphers))

    def seal(self, key: str, value: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return self._first + nonce + self._ciphers[self._first].encrypt(nonce, value, key.encode())

    def opens(self, sealed: bytes) -> bool:
        return sealed.startswith(_AESGCM)

    def open(self, key: str, sealed: bytes) -> Opened:
        prefix = sealed[: sealed.find(b":", len(_AESGCM)) + 1]
        cipher = self._ciphers.get(prefix)
        if cipher is None:
            raise Unreadable("it is encrypted with a key that is not configured")
        nonce, sealed = sealed[len(prefix) : len(prefix) + _NONCE], sealed[len(prefix) + _NONCE :]
        try:
            return Opened(cipher.decrypt(nonce, sealed, key.encode()), is_stale=prefix != self._first)
        except (InvalidTag, ValueError) as fault:
            raise Unreadable("it was changed, or is another object's") from fault


@dataclass(frozen=True, slots=True)
class Rule:
    """The providers of some resources, in their order."""

    resources: frozenset[str]
    """``secrets``, ``deployments.apps``, ``*.apps``, ``*.`` (the core group's) or ``*.*``."""
    providers: Sequence[Provider]

    def is_about(self, resource: str, group: str) -> bool:
        names = (f"{resource}.{group}" if group else resource, f"*.{group}", "*.*")
        return not self.resources.isdisjoint(names)


_PLAIN: Final = (Identity(),)


@dataclass(frozen=True)
class Encryption:
    """All rules; of several about a resource the first counts. A resource without a rule is kept as it is."""

    rules: Sequence[Rule] = ()
    _by_prefix: dict[str, Sequence[Provider]] = field(default_factory=dict, init=False)

    def seal(self, key: str, value: bytes) -> bytes:
        """What etcd is to hold under ``/registry/<group or core>/<resource>/...``."""
        return self._providers(key)[0].seal(key, value)

    def open(self, key: str, value: bytes) -> Opened:
        """Raises Unreadable."""
        providers = self._providers(key)
        for provider in providers:
            if provider.opens(value):
                opened = provider.open(key, value)
                return opened if provider is providers[0] else opened._replace(is_stale=True)
        raise Unreadable("no provider is configured for it")

    def _providers(self, key: str) -> Sequence[Provider]:
        _, _, group, resource, _ = key.split("/", 4)
        prefix = f"{group}/{resource}"
        providers = self._by_prefix.get(prefix)
        if providers is None:
            rules = (rule for rule in self.rules if rule.is_about(resource, "" if group == "core" else group))
            rule = next(rules, None)
            providers = self._by_prefix[prefix] = rule.providers if rule is not None else _PLAIN
        return providers


NO_ENCRYPTION: Final = Encryption()
