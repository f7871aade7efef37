"""Which backend a client may get, and what the backend and the operator learn of it."""

import asyncio
import os
import signal
import struct

import pytest

from apimachinery.types import core_v1
from kube_proxy import statistics
from tests.integration.kube_proxy.lab import (
    CLUSTER_IP,
    NODE_ADDRESS,
    NODE_NAME,
    POD_ADDRESS,
    Backend,
    Lab,
    Proxy,
    endpoints,
    ip,
    service,
)
from tests.support import eventually

REFUSING = ("127.0.1.9", 9)


async def asked_often(lab: Lab, address: str = CLUSTER_IP, port: int = 1234) -> set[bytes]:
    return {await lab.pod.ask(address, port) for _ in range(30)}


async def test_affinity_survives_a_killed_worker_and_a_changed_time_out(
    lab: Lab, proxy: Proxy, backends: list[Backend]
) -> None:
    proxy.services.put(service(session_affinity="ClientIP"))
    await proxy.settled()
    (chosen,) = await asked_often(lab)
    await eventually(lambda: any(port.affinity for port in proxy.pool._ports.values()))
    for pid in proxy.pool.pids:
        os.kill(pid, signal.SIGKILL)
    assert await asked_often(lab) == {chosen}
    config = core_v1.SessionAffinityConfig(client_ip=core_v1.ClientIPConfig(timeout_seconds=60))
    proxy.services.put(service(session_affinity="ClientIP", session_affinity_config=config))
    await proxy.settled()
    assert await asked_often(lab) == {chosen}


async def test_affinity_ends_with_its_time(lab: Lab, proxy: Proxy) -> None:
    config = core_v1.SessionAffinityConfig(client_ip=core_v1.ClientIPConfig(timeout_seconds=1))
    proxy.services.put(service(session_affinity="ClientIP", session_affinity_config=config))
    await proxy.settled()
    first = await lab.pod.ask(CLUSTER_IP, 1234)

    async def another() -> bool:
        await asyncio.sleep(1.1)  # away for longer than the entry holds
        return await lab.pod.ask(CLUSTER_IP, 1234) != first

    await eventually(another, timeout=30)


async def test_a_backend_that_fails_loses_its_client_for_good(lab: Lab, proxy: Proxy, backends: list[Backend]) -> None:
    proxy.services.put(service(session_affinity="ClientIP"))
    proxy.endpoints.put(endpoints(REFUSING))
    await proxy.settled()
    with pytest.raises(ConnectionResetError):
        await lab.pod.ask(CLUSTER_IP, 1234)
    proxy.endpoints.put(endpoints(REFUSING, backends[0].endpoint))
    await proxy.settled()
    assert await asked_often(lab) == {b"a"}
    tried = proxy.counters.dial_errors
    assert await asked_often(lab) == {b"a"}
    assert proxy.counters.dial_errors <= tried + 1, "the client is not sent to the failed one again"


async def test_local_policies_keep_to_the_nodes_own_endpoints(lab: Lab, proxy: Proxy, backends: list[Backend]) -> None:
    ports = [core_v1.ServicePort(port=1234, node_port=30080)]
    proxy.services.put(service(type="NodePort", ports=ports, external_traffic_policy="Local"))
    here = endpoints(backends[0].endpoint, node=NODE_NAME)
    there = endpoints(backends[1].endpoint, node="node-2")
    assert here.subsets
    assert there.subsets
    here.subsets += there.subsets
    proxy.endpoints.put(here)
    await proxy.settled()
    assert await asked_often(lab) == {b"a", b"b"}
    # For clients from outside the policy holds (see test_vantage_points); pods come as if by a load balancer.
    assert await asked_often(lab, NODE_ADDRESS, 30080) == {b"a", b"b"}
    proxy.endpoints.put(there)
    await proxy.settled()
    assert await asked_often(lab) == {b"b"}
    assert await asked_often(lab, NODE_ADDRESS, 30080) == {b"b"}
    proxy.services.put(service(type="NodePort", ports=ports, internal_traffic_policy="Local"))
    await proxy.settled()
    with pytest.raises(ConnectionRefusedError):
        await lab.pod.ask(CLUSTER_IP, 1234)
    assert await asked_often(lab, NODE_ADDRESS, 30080) == {b"b"}


async def test_source_ranges_let_in_some_and_refuse_the_others(lab: Lab, proxy: Proxy) -> None:
    def balanced(*ranges: str) -> core_v1.Service:
        changed = service(type="LoadBalancer", load_balancer_source_ranges=[*ranges])
        changed.status.load_balancer.ingress = [core_v1.LoadBalancerIngress(ip="192.0.2.4")]
        return changed

    ip("route", "add", "192.0.2.0/24", "dev", "lo")
    proxy.services.put(balanced("198.51.100.0/24", f"{POD_ADDRESS}/32"))
    await proxy.settled()
    assert await asked_often(lab, "192.0.2.4") == {b"a", b"b", b"c"}
    proxy.services.put(balanced("198.51.100.0/24"))
    await proxy.settled()
    with pytest.raises(ConnectionRefusedError):
        await lab.pod.ask("192.0.2.4", 1234)
    assert await asked_often(lab) == {b"a", b"b", b"c"}


async def test_an_open_connection_outlives_its_endpoint(lab: Lab, proxy: Proxy, backends: list[Backend]) -> None:
    proxy.endpoints.put(endpoints(backends[0].endpoint))
    await proxy.settled()
    loop = asyncio.get_running_loop()
    with await lab.pod.connect(CLUSTER_IP, 1234) as sock:
        await loop.sock_sendall(sock, b"a long question")
        await eventually(lambda: proxy.statistics.of(0).backends)
        proxy.endpoints.put(endpoints(backends[1].endpoint))
        await proxy.settled()
        assert await asked_often(lab) == {b"b"}
        sock.shutdown(1)
        async with asyncio.timeout(2):
            assert await loop.sock_recv(sock, 10) == b"a"


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_backend_learns_the_clients_address_where_the_service_asks_for_it(
    lab: Lab, proxy: Proxy, backends: list[Backend], version: str
) -> None:
    changed = service()
    changed.metadata.annotations = {"peapod.io/proxy-protocol": version}
    proxy.services.put(changed)
    proxy.endpoints.put(endpoints(backends[0].endpoint))
    await proxy.settled()
    assert await lab.pod.ask(CLUSTER_IP, 1234, b"question") == b"a"
    (request,) = backends[0].requests
    if version == "v1":
        head, _, rest = request.partition(b"\r\n")
        words = head.decode().split()
        assert words[:4] == ["PROXY", "TCP4", POD_ADDRESS, CLUSTER_IP]
        assert words[5] == "1234"
    else:
        assert request[:16] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
        source, asked, _, port = struct.unpack("!4s4sHH", request[16:28])
        assert [".".join(map(str, address)) for address in (source, asked)] == [POD_ADDRESS, CLUSTER_IP]
        assert port == 1234
        rest = request[28:]
    assert rest == b"question"


async def test_a_service_that_cannot_be_reached_gets_an_event(
    lab: Lab, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "FAILING_FOR", 0.5)
    proxy.endpoints.put(endpoints(REFUSING))
    await proxy.settled()

    async def failure_reported() -> bool:
        with pytest.raises(ConnectionResetError):
            await lab.pod.ask(CLUSTER_IP, 1234)
        return proxy.events.reasons == [("web", "EndpointsUnreachable")]

    await eventually(failure_reported, interval=0.2)
    totals = proxy.statistics.of(0)
    assert totals.unreachable
    assert totals.backends["127.0.1.9:9"].errors
