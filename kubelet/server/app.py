"""The application behind the kubelet's port: who is authorized, and what serves each path.

Only clients with a certificate of the client CA are authenticated, and of these only the apiserver and cluster
administrators are authorized: whoever can exec here can do anything to the node's pods.
"""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apimachinery import codec, errors
from apimachinery.types import core_v1
from component_base import metrics
from component_base.health import Health
from kubelet.probes import metrics as probes
from kubelet.resources.cadvisor_metrics import CadvisorMetrics
from kubelet.resources.resource_metrics import ResourceMetrics
from kubelet.server.backend import Backend
from kubelet.server.commands import CommandEndpoint, begin_attach, begin_exec
from kubelet.server.logs import LogEndpoint
from kubelet.server.port_forward import PortForwardEndpoint
from kubelet.server.responses import error_response

ADMIN_GROUP = "system:masters"
APISERVER_NAMES = frozenset({"kube-apiserver-kubelet-client", "kube-apiserver"})


def kubelet_app(backend: Backend, health: Health) -> Any:
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
    return Authorized(Starlette(routes=routes))


class Authorized:
    """Passes requests of authorized clients on to the application."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        error = authorization_error(((scope.get("extensions") or {}).get("tls") or {}).get("client_certificate"))
        if error is None:
            await self._app(scope, receive, send)
        else:
            await error_response(error)(scope, receive, send)


def authorization_error(certificate: Any) -> errors.ApiError | None:
    """Why a client may not use the kubelet, or None."""
    if certificate is None:
        return errors.Unauthorized("Unauthorized")
    if ADMIN_GROUP in certificate.organizations or certificate.common_name in APISERVER_NAMES:
        return None
    return errors.Forbidden(f'user "{certificate.common_name}" may not use the kubelet')
