"""How a request's credentials become a user: client certificates, tokens of a file, and several of these in turn.

A bearer token usually comes in the ``Authorization`` header. A browser can set no header on a WebSocket, so there it
may come as one of the subprotocols offered: ``base64url.bearer.authorization.k8s.io.<token>``, the token in base64url
without padding, as Kubernetes' apiserver takes it.
"""

import base64
import binascii
import csv
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from msgspec import Struct

from apimachinery import errors
from apiserver.request import User
from component_base.metrics import Histogram

ALL_AUTHENTICATED: Final = "system:authenticated"
ALL_UNAUTHENTICATED: Final = "system:unauthenticated"
ANONYMOUS: Final = User("system:anonymous", groups=(ALL_UNAUTHENTICATED,))
_PREFIX: Final = "base64url.bearer.authorization.k8s.io."
_PROTOCOLS: Final = "sec-websocket-protocol"


_HOUR, _DAY = 3600.0, 86400.0
_LEFT: Final = Histogram(
    "apiserver_client_certificate_expiration_seconds",
    "How long the certificates of requests were still valid, in seconds.",
    buckets=(
        0.0, 0.5 * _HOUR, _HOUR, 2 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 4 * _DAY, 7 * _DAY, 30 * _DAY,
        90 * _DAY, 180 * _DAY, 365 * _DAY,
    ),
)  # fmt: skip


class Credentials(Struct, frozen=True):
    """The parts of a request that may identify its user."""

    headers: Mapping[str, str]
    extensions: Mapping[str, Any]
    """The ASGI scope's; ``tls`` holds the client's verified certificate."""
    audiences: tuple[str, ...] = ()
    """Whom a token must be meant for; empty: the API."""
    raw_headers: Sequence[tuple[bytes, bytes]] = ()

    @property
    def all_headers(self) -> dict[str, list[str]]:
        """All values of each header, of which ``headers`` has the last."""
        values: dict[str, list[str]] = {}
        for name, value in self.raw_headers:
            values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        return values


class Authenticator(Protocol):
    def authenticate(self, credentials: Credentials) -> User | None:
        """The user, or None if the request carries no credential of this kind. Raises Unauthorized if it is wrong."""
        ...


class Union:
    """Several authenticators as one: the first that accepts a credential decides.

    A credential that is wrong does not spoil another that is good.
    """

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = authenticators

    def authenticate(self, credentials: Credentials) -> User | None:
        """None for a request without credentials. Raises Unauthorized if they are wrong, or nobody's."""
        fault: errors.Unauthorized | None = None
        for authenticator in self._authenticators:
            try:
                if (user := authenticator.authenticate(credentials)) is not None:
                    return user
            except errors.Unauthorized as wrong:
                fault = fault or wrong
        if fault is not None:
            raise fault
        if token_of(credentials.headers):
            raise errors.Unauthorized("Unauthorized")
        return None


class X509:
    """Trusts what the TLS handshake verified against the client CA, as long as it is valid: the common name is the
    user, the organizations are the groups. A certificate without a common name names nobody.

    Args:
        vouch_for: whether it is the client CA that has signed a certificate, where others are verified as well.
    """

    def __init__(self, vouch_for: Callable[[bytes], bool] | None = None) -> None:
        self._vouch_for = vouch_for
        self._users: dict[tuple[str, tuple[str, ...]], User] = {}

    def authenticate(self, credentials: Credentials) -> User | None:
        certificate = credentials.extensions.get("tls", {}).get("client_certificate")
        if certificate is None or not certificate.common_name:
            return None
        if self._vouch_for is not None and not self._vouch_for(certificate.der):
            return None
        now = time.time()
        if not certificate.valid_at(now):
            raise errors.Unauthorized("Unauthorized")
        _LEFT.observe(certificate.not_after - now)
        identity = (certificate.common_name, certificate.organizations)
        user = self._users.get(identity)
        if user is None:
            groups = (*certificate.organizations, ALL_AUTHENTICATED)
            user = self._users[identity] = User(certificate.common_name, groups=groups)
        return user


class TokenFile:
    """The tokens of ``--token-auth-file`` when the server started: ``token,user,uid,"group1,group2"`` a line."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError if a line does not have at least a token, a user and a uid."""
        self._users: dict[bytes, User] = {}
        with path.open(newline="") as file:
            for number, row in enumerate(csv.reader(file, skipinitialspace=True), start=1):
                if not row or row[0].startswith("#"):
                    continue
                if len(row) < 3 or not row[0] or not row[1]:
                    raise ValueError(f"{path}:{number}: expected token,user,uid and optionally groups")
                groups = tuple(filter(None, row[3].split(","))) if len(row) > 3 else ()
                self._users[_digest(row[0])] = User(row[1], uid=row[2], groups=(*groups, ALL_AUTHENTICATED))

    def authenticate(self, credentials: Credentials) -> User | None:
        token = token_of(credentials.headers)
        if not token:
            return None
        user = self._users.get(_digest(token))
        if user is None:
            raise errors.Unauthorized("Unauthorized")
        return user


def _digest(token: str) -> bytes:
    """Tokens are looked up by digest, so that the time of a look-up reveals nothing about them."""
    return hashlib.sha256(token.encode()).digest()


def token_of(headers: Mapping[str, str]) -> str:
    """The bearer token; "" if there is none. Raises Unauthorized if one is offered that cannot be read."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if _PROTOCOLS in headers and headers.get("upgrade", "").lower() == "websocket":
        return _token_among(_split(headers[_PROTOCOLS]))
    return ""


def subprotocols(offer: str) -> list[str]:
    """The subprotocols in a ``Sec-WebSocket-Protocol`` header that can be spoken, which a token is not."""
    return [protocol for protocol in _split(offer) if not protocol.startswith(_PREFIX)]


def _token_among(protocols: Sequence[str]) -> str:
    tokens = [protocol.removeprefix(_PREFIX) for protocol in protocols if protocol.startswith(_PREFIX)]
    if not tokens:
        return ""
    if len(tokens) > 1 or len(tokens) == len(protocols):  # the answer must name a subprotocol, and never the token
        raise errors.Unauthorized("Unauthorized")
    encoded = tokens[0]
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars="-_", validate=True).decode()
    except (binascii.Error, ValueError) as fault:
        raise errors.Unauthorized("Unauthorized") from fault


def _split(offer: str) -> list[str]:
    return [protocol.strip() for protocol in offer.split(",") if protocol.strip()]
