"""Errors as HTTP answers: a Status, as the apiserver hands it on."""

from starlette.responses import Response

from apimachinery import codec, errors


def error_response(error: errors.ApiError) -> Response:
    return Response(codec.encode(error.status()), status_code=error.code, media_type="application/json")
