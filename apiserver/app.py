"""The application: it authenticates every request and passes it to the API or to FastAPI.

FastAPI carries what is not the API proper: health, metrics, version, the docs page. ``/api`` and ``/apis`` go
straight to the raw endpoint, which must not pay for a router.
"""

import logging
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from starlette.routing import BaseRoute

from apimachinery import codec, errors
from apiserver.access import Access
from apiserver.flowcontrol import FlowController
from apiserver.handlers import auditing
from apiserver.handlers.endpoint import ApiEndpoint
from apiserver.handlers.http import Request
from apiserver.handlers.openapi import OpenAPI
from apiserver.handlers.request_info import API
from apiserver.registry.resource import not_allowed
from apiserver.request import Attributes
from component_base import metrics
from component_base.health import Health
from component_base.version import version_info
from kube_client.delegation import is_health

log = logging.getLogger(__name__)

_SEATS: Final = 5  # of a request outside the API: metrics and documents take some milliseconds


class Application:
    """The ASGI application of the apiserver."""

    def __init__(
        self,
        access: Access,
        api: ApiEndpoint,
        openapi: OpenAPI,
        health: Health,
        flows: FlowController,
        more: Sequence[BaseRoute] = (),
    ) -> None:
        """``more`` are further routes."""
        self._access, self._api, self._openapi, self._flows = access, api, openapi, flows
        self._rest = _fastapi(openapi, health, more)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive, send)
        try:
            await answered(request, self._serve(request))
        finally:
            if request.record is not None:
                auditing.complete(request.record, request)

    async def _serve(self, request: Request) -> None:
        attributes, place = await self._access.check(request)
        path = request.path
        if path.startswith(API) or path in ("/api", "/apis"):
            await self._api.serve(request, attributes, place)
        elif is_health(path):  # nobody waits for it
            await self._rest(request.scope, request.receive, request.pass_on)
        else:
            await self._serve_document(request, attributes)

    async def _serve_document(self, request: Request, attributes: Attributes) -> None:
        async with self._flows.seated(attributes, _SEATS) as flow:
            request.more_headers = flow.headers
            if not request.path.startswith(("/openapi/", "/swagger-2.0.0.pb-v1")):
                await self._rest(request.scope, request.receive, request.pass_on)
            elif request.method not in ("GET", "HEAD"):
                raise not_allowed()
            else:
                await self._openapi.serve(request)


async def answered(request: Request, serving: Awaitable[None]) -> None:
    """Serve a request. Whatever that raises becomes an answer, if none has begun."""
    try:
        await serving
    except errors.ApiError as error:
        if request.code:
            log.info("%s %s: aborted: %s", request.method, request.path, error)
            raise
        await request.fail(error)
    except RecursionError:
        await _fail_unless_begun(request, errors.BadRequest("the body is nested too deeply"))
    except Exception:
        log.exception("%s %s: failed", request.method, request.path)
        await _fail_unless_begun(request, errors.InternalError("Internal error occurred; see the log"))


async def _fail_unless_begun(request: Request, error: errors.ApiError) -> None:
    if not request.code:
        await request.fail(error)


def _status(error: errors.ApiError) -> Response:
    return Response(codec.encode(error.status()), error.code, media_type="application/json")


def _fastapi(openapi: OpenAPI, health: Health, more: Sequence[BaseRoute]) -> FastAPI:
    """Everything that FastAPI serves."""
    app = FastAPI(title="Peapod", docs_url=None, redoc_url=None, openapi_url=None)
    info = version_info()
    app.router.routes.extend([*health.routes(), *metrics.routes(), *more])

    @app.get("/version")
    async def version() -> dict[str, str]:
        return info

    @app.get("/docs", response_class=HTMLResponse)
    async def docs() -> str:
        return openapi.page()

    @app.get("/openapi.json")
    async def document() -> dict[str, Any]:
        return openapi.overview()

    @app.get("/")
    async def paths() -> dict[str, list[str]]:
        known = ("/api", "/apis", "/docs", "/healthz", "/livez", "/metrics", "/openapi/v3", "/readyz", "/version")
        return {"paths": list(known)}

    @app.exception_handler(404)
    async def missing(request: Any, error: Any) -> Response:
        return _status(errors.NotFound("the server could not find the requested resource"))

    @app.exception_handler(405)
    async def method_not_allowed(request: Any, error: Any) -> Response:
        return _status(not_allowed())

    return app
