"""Authentication and authorization of a daemon's own endpoints, delegated to the apiserver.

A client is the one that its certificate of the client CA names or, as the apiserver says, the one whose bearer token it
sends in the ``Authorization`` header. What it may do is the apiserver's to say as well. Without an answer nobody is let
in. Health is everybody's: probes have no identity.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from apimachinery import errors
from kube_client.client import Client
from kube_client.reviews import Access, AccessReviews, TokenReviews, User

log = logging.getLogger(__name__)

ANONYMOUS: Final = User("system:anonymous", groups=("system:unauthenticated",))
_ALL_AUTHENTICATED: Final = "system:authenticated"
_TOKEN_SECONDS: Final = 10.0
"""How long it is remembered whose a token is, as by Kubernetes' daemons."""
_ACCESS_SECONDS: Final = 10.0
_OPEN: Final = ("/healthz", "/livez", "/readyz")


class Certificate(Protocol):
    """A client's certificate, which the TLS handshake verified."""

    @property
    def common_name(self) -> str: ...
    @property
    def organizations(self) -> tuple[str, ...]: ...
    def valid_at(self, now: float) -> bool: ...


class Authorizer(Protocol):
    async def allow(self, access: Access) -> bool:
        """Raises ApiError if that is not known."""
        ...


@dataclass(frozen=True)
class Authentication:
    """Whose a request is."""

    tokens: TokenReviews | None
    """None: bearer tokens are not accepted."""
    anonymous: bool = False
    """Whether a request without credentials is that of ``system:anonymous``."""

    async def user_of(self, headers: Mapping[str, str], certificate: Certificate | None) -> User:
        """``headers`` have names in lower case. Raises Unauthorized."""
        if certificate is not None and certificate.common_name and certificate.valid_at(time.time()):
            return User(certificate.common_name, groups=(*certificate.organizations, _ALL_AUTHENTICATED))
        if self.tokens is not None and (token := bearer_token(headers)):
            try:
                user = await self.tokens.user_of(token)
            except errors.ApiError as fault:
                log.info("a token cannot be reviewed: %s", fault)
                user = None
            if user is not None:
                return user
        elif certificate is None and self.anonymous and "authorization" not in headers:
            return ANONYMOUS
        raise errors.Unauthorized("Unauthorized")


class EndpointAccess:
    """Access to what a daemon serves besides health, by rules about paths: ``/metrics`` takes the right to get it."""

    def __init__(self, authentication: Authentication, authorizer: Authorizer) -> None:
        self._authentication, self._authorizer = authentication, authorizer

    @classmethod
    def delegated(cls, client: Client) -> "EndpointAccess":
        """By reviews of the daemon's own client."""
        tokens = TokenReviews(client, _TOKEN_SECONDS)
        return cls(Authentication(tokens), AccessReviews(client, _ACCESS_SECONDS, _ACCESS_SECONDS))

    async def check(self, method: str, path: str, headers: Mapping[str, str], certificate: Certificate | None) -> bool:
        """See ``component_base.access``. Raises Unauthorized, Forbidden, InternalError."""
        if is_health(path):
            return False
        user, verb = await self._authentication.user_of(headers, certificate), method.lower()
        try:
            allowed = await self._authorizer.allow(Access(user, verb, path=path))
        except errors.ApiError as fault:
            log.info("user=%s, verb=%s, path=%s: not authorized: %s", user.name, verb, path, fault)
            raise errors.InternalError(f"Authorization error (user={user.name}, verb={verb}, path={path})") from fault
        if not allowed:
            raise errors.forbidden("", "", "", f'User "{user.name}" cannot {verb} path "{path}"')
        return user is not ANONYMOUS


def is_health(path: str) -> bool:
    """Whether a path is that of a health endpoint, or of one of its checks."""
    return any(path == root or path.startswith(f"{root}/") for root in _OPEN)


def bearer_token(headers: Mapping[str, str]) -> str:
    """ "" if there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
