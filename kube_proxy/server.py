"""What the proxy tells about itself: health on one port, metrics and its mode on another."""

import json
import time
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from apimachinery import meta
from component_base import metrics
from kube_proxy.proxier import Proxier

MODE = "userspace"


def health_app(proxier: Proxier) -> Starlette:
    """/healthz says whether the node's rules follow the services, /livez whether the process answers at all."""

    async def healthz(request: Request) -> Response:
        return _report(proxier, healthy=proxier.is_healthy())

    async def livez(request: Request) -> Response:
        return _report(proxier, healthy=True)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", healthz), Route("/livez", livez)])


def metrics_app() -> Starlette:
    async def mode(request: Request) -> Response:
        return PlainTextResponse(MODE)

    async def ok(request: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(routes=[*metrics.routes(), Route("/proxyMode", mode), Route("/healthz", ok)])


def _report(proxier: Proxier, *, healthy: bool) -> Response:
    body = {
        "lastUpdated": _time(proxier.last_synced) if proxier.last_synced else None,
        "currentTime": _time(time.time()),
    }
    headers = {"content-type": "application/json", "x-content-type-options": "nosniff"}
    return Response(json.dumps(body), 200 if healthy else 503, headers)


def _time(moment: float) -> str:
    return meta.format_micro_time(datetime.fromtimestamp(moment, UTC))
