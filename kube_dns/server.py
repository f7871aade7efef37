"""What the add-on shows to probes over HTTP: /health, /ready, /healthz and their like."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from component_base.health import Health, Unhealthy


def app(synced: Callable[[], bool]) -> Starlette:
    """``synced``: all services are known. A server that is not yet ready is healthy all the same."""
    health = Health()

    def knows_services() -> None:
        if not synced():
            raise Unhealthy("the services are not known yet")

    health.add("services", knows_services, live=False)

    async def alive(request: Request) -> Response:
        return PlainTextResponse("OK")

    async def ready(request: Request) -> Response:
        return PlainTextResponse("OK") if synced() else PlainTextResponse("services", 503)

    return Starlette(routes=[Route("/health", alive), Route("/ready", ready), *health.routes()])
