"""The proxy's own endpoints: health on one port; metrics, its mode and its current table on another."""

import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from apimachinery import meta
from component_base import metrics
from kube_proxy.table import Row, table


class Reported(Protocol):
    """What of the proxier is reported, in any mode."""

    last_synced: float | None

    def is_healthy(self) -> bool: ...
    def rows(self) -> Iterable[Row]: ...


def health_app(proxier: Reported) -> Starlette:
    """/healthz reports whether the node's rules follow the services, /livez whether the process answers at all."""

    async def healthz(request: Request) -> Response:
        return _report(proxier, healthy=proxier.is_healthy())

    async def livez(request: Request) -> Response:
        return _report(proxier, healthy=True)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", healthz), Route("/livez", livez)])


def metrics_app(proxier: Reported, mode: str) -> Starlette:
    async def proxy_mode(request: Request) -> Response:
        return PlainTextResponse(mode)

    async def current(request: Request) -> Response:
        rows = proxier.rows()
        if service := request.query_params.get("service"):
            rows = (row for row in rows if f"{row.spec.name}/".startswith((f"{service}/", f"{service}:")))
        return Response(json.dumps(table(mode, rows), indent=1), headers={"content-type": "application/json"})

    async def ok(request: Request) -> Response:
        return PlainTextResponse("ok")

    routes = [Route("/proxyMode", proxy_mode), Route("/table", current), Route("/healthz", ok)]
    return Starlette(routes=[*metrics.routes(), *routes])


def _report(proxier: Reported, *, healthy: bool) -> Response:
    body = {
        "lastUpdated": _time(proxier.last_synced) if proxier.last_synced else None,
        "currentTime": _time(time.time()),
    }
    headers = {"content-type": "application/json", "x-content-type-options": "nosniff"}
    return Response(json.dumps(body), 200 if healthy else 503, headers)


def _time(moment: float) -> str:
    return meta.format_micro_time(datetime.fromtimestamp(moment, UTC))
