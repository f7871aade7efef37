"""Who may use the kubelet's port, and for what: whoever can exec here can do anything to the node's pods.

Whether a user may do what it asks for is the apiserver's to say, in terms of subresources of this node.

Facts of Kubernetes' pkg/kubelet/server/auth.go.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from apimachinery import errors
from kube_client.delegation import ANONYMOUS, Authentication, Authorizer, Certificate
from kube_client.reviews import Access

log = logging.getLogger(__name__)

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


class AlwaysAllow:
    """Every user may do everything (``--authorization-mode=AlwaysAllow``)."""

    async def allow(self, access: Access) -> bool:
        return True


@dataclass(frozen=True)
class KubeletAccess:
    """How requests to a node's kubelet are authenticated and authorized."""

    node: str
    authentication: Authentication
    authorizer: Authorizer

    async def check(self, method: str, path: str, headers: Mapping[str, str], certificate: Certificate | None) -> bool:
        """Return if the request may be served; see ``component_base.access``.

        Raises:
            Unauthorized, Forbidden: it may not.
            InternalError: the apiserver does not say.
        """
        user = await self.authentication.user_of(headers, certificate)
        verb, subresources = _VERBS.get(method, ""), subresources_of(path)
        what = f"user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(subresources)}]"
        if not verb:
            raise errors.Forbidden(f"Forbidden ({what})")
        try:
            for subresource in subresources:
                if await self.authorizer.allow(Access(user, verb, "nodes", subresource, self.node)):
                    return user is not ANONYMOUS
        except errors.ApiError as fault:
            log.info("%s: not authorized: %s", what, fault)
            raise errors.InternalError(f"Authorization error ({what})") from fault
        raise errors.Forbidden(f"Forbidden ({what})")


def subresources_of(path: str) -> tuple[str, ...]:
    """What of the node a path of its kubelet's stands for."""
    for prefix, subresources in _SUBRESOURCES.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return subresources
    return (_PROXY,)
