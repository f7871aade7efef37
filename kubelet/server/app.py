"""The application behind the kubelet's port: what serves each path, for those whom ``access`` lets in."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apimachinery import codec
from apimachinery.types import core_v1
from component_base import metrics
from component_base.access import Guarded
from component_base.health import Health
from kubelet.probes import metrics as probes
from kubelet.resources.cadvisor_metrics import CadvisorMetrics
from kubelet.resources.resource_metrics import ResourceMetrics
from kubelet.server.access import KubeletAccess
from kubelet.server.backend import Backend
from kubelet.server.commands import CommandEndpoint, begin_attach, begin_exec
from kubelet.server.logs import LogEndpoint
from kubelet.server.port_forward import PortForwardEndpoint


def kubelet_app(backend: Backend, health: Health, access: KubeletAccess) -> Any:
    """An ASGI application."""

    async def pods(request: Request) -> Response:
        return Response(codec.encode(core_v1.PodList(items=backend.pods())), media_type="application/json")

    async def summary(request: Request) -> Response:
        await backend.stats.refresh()
        return JSONResponse(backend.stats.summary())

    async def resource_metrics(request: Request) -> Response:
        await backend.stats.refresh()
        return metrics.response(ResourceMetrics(backend.stats))

    async def cadvisor_metrics(request: Request) -> Response:
        await backend.stats.refresh()
        return metrics.response(CadvisorMetrics(backend.stats))

    async def probe_metrics(request: Request) -> Response:
        return metrics.response(probes.REGISTRY)

    routes = [
        Route("/containerLogs/{namespace}/{pod}/{container}", LogEndpoint(backend), methods=["GET"]),
        Route("/exec/{namespace}/{pod}/{container}", CommandEndpoint(backend, begin_exec)),
        Route("/attach/{namespace}/{pod}/{container}", CommandEndpoint(backend, begin_attach)),
        Route("/portForward/{namespace}/{pod}", PortForwardEndpoint(backend)),
        Route("/pods", pods, methods=["GET"]),
        Route("/stats/summary", summary, methods=["GET"]),
        Route("/metrics/resource", resource_metrics, methods=["GET"]),
        Route("/metrics/cadvisor", cadvisor_metrics, methods=["GET"]),
        Route("/metrics/probes", probe_metrics, methods=["GET"]),
        *health.routes(),
        *metrics.routes(),
    ]
    return Guarded(Starlette(routes=routes), access)
