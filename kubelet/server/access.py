"""Who may use the kubelet's port, and for what: whoever can exec here can do anything to the node's pods.

A client is the one that its certificate of the client CA names or, as the apiserver says, the one whose bearer token it
sends in the ``Authorization`` header. Whether that user may do what it asks for is the apiserver's to say, too, in terms
of subresources of this node. Without an answer nobody is let in.

Facts of Kubernetes' pkg/kubelet/server/auth.go.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from apimachinery import errors
from component_base.client_certificates import ClientCertificate
from kube_client.reviews import Access, TokenReviews, User

log = logging.getLogger(__name__)

ANONYMOUS: Final = User("system:anonymous", groups=("system:unauthenticated",))
_ALL_AUTHENTICATED: Final = "system:authenticated"
_VERBS: Final = {
    "GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete",
}  # fmt: skip
_PROXY: Final = "proxy"
_SUBRESOURCES: Final = {
    "/stats": ("stats",),
    "/metrics": ("metrics",),
    "/logs": ("log",),
    "/checkpoint": ("checkpoint",),
    "/pods": ("pods", _PROXY),
    "/runningpods": ("pods", _PROXY),
    "/healthz": ("healthz", _PROXY),
    "/configz": ("configz", _PROXY),
}
"""Of a path and what is below it; one of them is enough. Everything else takes ``proxy``."""


class Authorizer(Protocol):
    async def allow(self, access: Access) -> bool:
        """Raises ApiError if that is not known."""
        ...


class AlwaysAllow:
    """Every user may do everything (``--authorization-mode=AlwaysAllow``)."""

    async def allow(self, access: Access) -> bool:
        return True


@dataclass(frozen=True)
class KubeletAccess:
    """How requests to a node's kubelet are authenticated and authorized."""

    node: str
    authorizer: Authorizer
    tokens: TokenReviews | None
    """None: bearer tokens are not accepted."""
    anonymous: bool
    """Whether a request without credentials is that of ``system:anonymous``."""

    async def check(
        self, method: str, path: str, headers: Mapping[str, str], certificate: ClientCertificate | None
    ) -> None:
        """Return if the request may be served.

        Args:
            headers: their names in lower case.
            certificate: the client's, if it presented one that was verified.

        Raises:
            Unauthorized, Forbidden: it may not.
            InternalError: the apiserver does not say.
        """
        user = await self._user(headers, certificate)
        verb, subresources = _VERBS.get(method, ""), subresources_of(path)
        what = f"user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(subresources)}]"
        if not verb:
            raise errors.Forbidden(f"Forbidden ({what})")
        try:
            for subresource in subresources:
                if await self.authorizer.allow(Access(user, verb, "nodes", subresource, self.node)):
                    return
        except errors.ApiError as fault:
            log.info("%s: not authorized: %s", what, fault)
            raise errors.InternalError(f"Authorization error ({what})") from fault
        raise errors.Forbidden(f"Forbidden ({what})")

    async def _user(self, headers: Mapping[str, str], certificate: ClientCertificate | None) -> User:
        """Raises Unauthorized."""
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


def subresources_of(path: str) -> tuple[str, ...]:
    """What of the node a path of its kubelet's stands for."""
    for prefix, subresources in _SUBRESOURCES.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return subresources
    return (_PROXY,)


def bearer_token(headers: Mapping[str, str]) -> str:
    """ "" if there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
