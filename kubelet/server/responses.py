"""Errors as HTTP responses: a Status, which the apiserver passes on."""

from starlette.responses import Response

from apimachinery import codec, errors
from component_base.websocket import HandshakeError


def error_response(error: errors.ApiError) -> Response:
    return Response(codec.encode(error.status()), status_code=error.code, media_type="application/json")


def handshake_response(error: HandshakeError) -> Response:
    """Why a connection is not upgraded."""
    response = error_response(errors.BadRequest(str(error)))
    response.status_code = error.status
    for name, value in error.headers:
        response.headers.append(name.decode(), value.decode())
    return response
