"""Answers load balancers whether this node has endpoints of a service: ``healthCheckNodePort``.

Only services of type LoadBalancer with ``externalTrafficPolicy: Local`` have such a port. On it every path answers 200
while an endpoint here is ready and the proxy is well, otherwise 503, with Kubernetes' JSON. A port that somebody else holds
is reported in an event of the service, and tried again.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types import core_v1
from apimachinery.types.objects import KubeObject
from component_base.serving import Server

log = logging.getLogger(__name__)

RETRY_DELAYS = (0.2, 1.0, 5.0)


class Recorder(Protocol):
    def event(self, obj: KubeObject, type: str, reason: str, message: str) -> None: ...


def health_check_node_port(service: core_v1.Service) -> int | None:
    spec = service.spec
    if spec.type == "LoadBalancer" and spec.external_traffic_policy == "Local":
        return spec.health_check_node_port or None
    return None


@dataclass
class _Check:
    """The state of one service's port."""

    service: core_v1.Service
    port: int
    local_endpoints: int
    task: asyncio.Task[None] | None = field(default=None)


class HealthChecks:
    def __init__(self, recorder: Recorder, is_healthy: Callable[[], bool]) -> None:
        """``is_healthy`` says whether the proxy keeps up with what it should serve."""
        self._recorder = recorder
        self._is_healthy = is_healthy
        self._checks: dict[Key, _Check] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Answer until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for check in self._checks.values():
                self._start(check)
            await asyncio.Event().wait()

    def update(self, service: core_v1.Service, local_endpoints: int) -> None:
        """How many endpoints of the service here are ready now."""
        key, port = meta.key_of(service), health_check_node_port(service)
        check = self._checks.get(key)
        if check and check.port == port:
            check.service, check.local_endpoints = service, local_endpoints
            return
        self.remove(key)
        if port:
            self._checks[key] = check = _Check(service, port, local_endpoints)
            self._start(check)

    def remove(self, key: Key) -> None:
        if (check := self._checks.pop(key, None)) and check.task:
            check.task.cancel()

    def _start(self, check: _Check) -> None:
        if self._tasks:
            check.task = self._tasks.create_task(self._serve(check), name=f"health of {meta.key_of(check.service)}")

    async def _serve(self, check: _Check) -> None:
        failures = 0
        while True:
            try:
                await Server(self._app(check), [("0.0.0.0", check.port)]).run()
            except OSError as exc:
                if failures == 1:  # not merely the service that had the port before; report it once
                    message = f"failed to start healthcheck on port {check.port}: {exc}"
                    log.warning("%s: %s", meta.key_of(check.service), message)
                    self._recorder.event(check.service, "Warning", "FailedToStartServiceHealthcheck", message)
                await asyncio.sleep(RETRY_DELAYS[min(failures, len(RETRY_DELAYS) - 1)])
                failures += 1

    def _app(self, check: _Check) -> Starlette:
        async def answer(request: Request) -> Response:
            key, healthy = meta.key_of(check.service), self._is_healthy()
            body = {
                "service": {"namespace": key.namespace, "name": key.name},
                "localEndpoints": check.local_endpoints,
                "serviceProxyHealthy": healthy,
            }
            headers = {
                "content-type": "application/json",
                "x-content-type-options": "nosniff",
                "x-load-balancing-endpoint-weight": str(check.local_endpoints),
            }
            return Response(json.dumps(body), 200 if healthy and check.local_endpoints else 503, headers)

        return Starlette(routes=[Route("/{path:path}", answer)])
