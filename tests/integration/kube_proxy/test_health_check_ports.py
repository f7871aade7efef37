"""The answers to load balancers on a service's healthCheckNodePort."""

import socket

import httpx
import pytest

from apimachinery.types import core_v1
from tests.integration.kube_proxy.lab import (
    NODE_ADDRESS,
    NODE_NAME,
    Backend,
    Lab,
    Proxy,
    endpoints,
    service,
)
from tests.support import eventually

PORT = 30999


def balanced(port: int = PORT, policy: str = "Local") -> core_v1.Service:
    return service(type="LoadBalancer", external_traffic_policy=policy, health_check_node_port=port)


async def health(port: int = PORT) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(f"http://{NODE_ADDRESS}:{port}/healthz")


async def listening() -> bool:
    try:
        await health()
    except httpx.ConnectError:
        return False
    return True


async def test_it_says_whether_the_node_has_ready_endpoints(lab: Lab, proxy: Proxy, backends: list[Backend]) -> None:
    here = endpoints(backends[0].endpoint, backends[1].endpoint, node=NODE_NAME)
    proxy.services.put(balanced())
    proxy.endpoints.put(here)
    await proxy.settled()
    await eventually(listening)
    answer = await health()
    assert answer.status_code == 200
    assert answer.json() == {
        "service": {"namespace": "default", "name": "web"},
        "localEndpoints": 2,
        "serviceProxyHealthy": True,
    }
    assert answer.headers["X-Load-Balancing-Endpoint-Weight"] == "2"
    proxy.endpoints.put(endpoints(backends[0].endpoint, node="node-2"))
    await proxy.settled()
    answer = await health()
    assert (answer.status_code, answer.json()["localEndpoints"]) == (503, 0)


@pytest.mark.parametrize("change", ["another policy", "deleted", "another port"])
async def test_the_port_is_freed_when_it_is_not_wanted_any_more(lab: Lab, proxy: Proxy, change: str) -> None:
    proxy.services.put(balanced())
    await proxy.settled()
    await eventually(listening)
    if change == "deleted":
        proxy.services.delete("web")
    else:
        proxy.services.put(balanced(policy="Cluster") if change == "another policy" else balanced(PORT + 1))
    await proxy.settled()

    async def closed() -> bool:
        return not await listening()

    await eventually(closed)
    if change == "another port":
        assert (await health(PORT + 1)).status_code == 503


async def test_a_taken_port_is_reported_in_an_event_and_tried_again(lab: Lab, proxy: Proxy) -> None:
    with socket.create_server(("0.0.0.0", PORT)):
        proxy.services.put(balanced())
        await proxy.settled()
        await eventually(lambda: proxy.events.reasons == [("web", "FailedToStartServiceHealthcheck")])
    await eventually(listening)
