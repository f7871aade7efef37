"""Why a connection is not upgraded, as an HTTP response: a Status, which the apiserver passes on."""

from starlette.responses import Response

from apimachinery import errors
from component_base.access import error_response
from component_base.websocket import HandshakeError


def handshake_response(error: HandshakeError) -> Response:
    """Why a connection is not upgraded."""
    response = error_response(errors.BadRequest(str(error)))
    response.status_code = error.status
    for name, value in error.headers:
        response.headers.append(name.decode(), value.decode())
    return response
