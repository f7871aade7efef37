"""Who may use a server's endpoints: requests that are not allowed are answered here, and never reach the application."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.datastructures import Headers
from starlette.responses import Response

from apimachinery import codec, errors
from component_base.client_certificates import ClientCertificate


class Access(Protocol):
    async def check(
        self, method: str, path: str, headers: Mapping[str, str], certificate: ClientCertificate | None
    ) -> bool:
        """Return if the request may be served, and whether the client has shown who it is; raise an ApiError if not.

        Args:
            headers: their names in lower case.
            certificate: the client's, if it presented one that was verified.
        """
        ...


class Guarded:
    """An application whose requests are checked first."""

    def __init__(self, app: Any, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        certificate = ((scope.get("extensions") or {}).get("tls") or {}).get("client_certificate")
        try:
            if await self._access.check(scope["method"], scope["path"], Headers(scope=scope), certificate):
                scope["extensions"]["connection"].identify()
        except errors.ApiError as error:
            await error_response(error)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def error_response(error: errors.ApiError) -> Response:
    """The error as a Status."""
    return Response(codec.encode(error.status()), status_code=error.code, media_type="application/json")
