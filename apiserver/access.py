"""Access to the API, in the order of Kubernetes' filters: who asks, as whom, for what, and may they?"""

from typing import Final

from msgspec.structs import replace

from apimachinery import errors
from apiserver import authorization
from apiserver.audit import Auditor
from apiserver.authentication.authenticators import ANONYMOUS, Credentials, Union
from apiserver.handlers import auditing
from apiserver.handlers.http import Request
from apiserver.handlers.impersonation import impersonated
from apiserver.handlers.request_info import Place, asked
from apiserver.request import Attributes, User
from kube_client.delegation import is_health

_VERSION: Final = "/version"
_NOBODY: Final = User("")


class Access:
    """
    Args:
        auditor: records requests; None for no record.
        anonymous: requests without credentials are a user's as well, whom the authorizer judges. Without it they are
            refused, but for health and version.
        identity_headers: beginnings of headers by which proxies name users, and which nobody else gets to see.
    """

    def __init__(
        self,
        authenticator: Union,
        authorizer: authorization.Union,
        auditor: Auditor | None,
        *,
        anonymous: bool,
        identity_headers: tuple[bytes, ...] = (),
    ) -> None:
        self._identity_headers = identity_headers
        self._authenticator, self._authorizer = authenticator, authorizer
        self._auditor, self._anonymous = auditor, anonymous

    async def check(self, request: Request) -> tuple[Attributes, Place | None]:
        """What is asked for, once it is allowed. Raises Unauthorized, Forbidden, BadRequest, ServiceUnavailable."""
        try:
            user = self._user(request)
        except errors.Unauthorized:
            self._record(request, asked(request, _NOBODY)[0])
            raise
        attributes, place = asked(request, user)
        self._record(request, attributes)
        acting = await impersonated(request, user, self._authorizer)
        if acting is not user:
            attributes = replace(attributes, user=acting)
            if request.record is not None:
                request.record.impersonates(acting)
        try:
            await self._authorizer.authorize(attributes)
        except errors.ServiceUnavailable:
            if not is_health(request.path):  # which has to be told while the authorizer does not know its rules yet
                raise
        if request.record is not None:
            auditing.allowed(request.record)
        return attributes, place

    def _user(self, request: Request) -> User:
        scope = request.scope
        credentials = Credentials(request.headers, scope["extensions"], raw_headers=scope["headers"])
        user = self._authenticator.authenticate(credentials)
        if any(name.startswith(self._identity_headers) for name, _ in scope["headers"]):
            request.drop_headers(self._identity_headers)
        if user is not None:
            request.scope["extensions"]["connection"].identify()
            return user
        if self._anonymous or is_health(request.path) or request.path == _VERSION:
            return ANONYMOUS
        raise errors.Unauthorized("Unauthorized")

    def _record(self, request: Request, attributes: Attributes) -> None:
        if self._auditor is not None:
            auditing.begin(request, attributes, self._auditor)
