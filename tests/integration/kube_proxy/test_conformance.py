"""A table of service behaviours: every kind of client and address, both protocols, both modes, both kinds of tables."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from apimachinery.types import core_v1
from kube_proxy.iptables import Redirect
from kube_proxy.iptables.backends import clean_up_everywhere
from tests.integration.kube_proxy.lab import (
    CLUSTER_IP,
    NODE_ADDRESS,
    NODE_NAME,
    POD_ADDRESS,
    POD_GATEWAY,
    Backend,
    Lab,
    Namespace,
    endpoints,
    ip,
    iptables_save,
    running_proxy,
    service,
)
from tests.support import eventually

EXTERNAL_IP = "192.0.2.7"
OUTSIDE_ADDRESS, OUTSIDE_GATEWAY = "198.51.100.2", "198.51.100.1"
NODE_PORT = 30080
MODES = [(mode, backend) for mode in ("userspace", "iptables") for backend in ("legacy", "nft")]
PORTS = [
    core_v1.ServicePort(name="tcp", port=1234, protocol="TCP", node_port=NODE_PORT),
    core_v1.ServicePort(name="udp", port=1234, protocol="UDP", node_port=NODE_PORT),
]


@pytest.fixture
def outside(lab: Lab) -> Iterator[Namespace]:
    """A host that is no part of the cluster, for which the node is the way to everything."""
    name = f"peapod-test-{os.getpid()}-outside"
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", "outside", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", f"{OUTSIDE_GATEWAY}/24", "dev", "outside")
        ip("link", "set", "outside", "up")
        ip("-n", name, "addr", "add", f"{OUTSIDE_ADDRESS}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "route", "add", "default", "via", OUTSIDE_GATEWAY)
        ip("route", "add", f"{EXTERNAL_IP}/32", "dev", "outside")
        yield Namespace(Path("/run/netns") / name)
    finally:
        ip("netns", "delete", name)


class Named(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._transport.sendto(b"u", address)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def udp_server() -> AsyncIterator[tuple[str, int]]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Named, (f"{NODE_ADDRESS}9", 0))
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()


def web(**changes: object) -> core_v1.Service:
    usual: dict[str, object] = {"type": "NodePort", "ports": PORTS, "external_ips": [EXTERNAL_IP]}
    return service(**(usual | changes))  # type: ignore[arg-type]


def ready(*addresses: tuple[str, int], udp: tuple[str, int] | None = None, node: str = NODE_NAME) -> core_v1.Endpoints:
    tcp_and_udp = endpoints(*addresses, port="tcp", node=node)
    if udp:
        assert tcp_and_udp.subsets is not None
        tcp_and_udp.subsets += endpoints(udp, port="udp", protocol="UDP", node=node).subsets or []
    return tcp_and_udp


async def ask_udp(client: Namespace, address: str, port: int) -> bytes:
    with client.datagram_socket() as sock:
        sock.connect((address, port))
        sock.send(b"who?")
        async with asyncio.timeout(2):
            return await asyncio.get_running_loop().sock_recv(sock, 100)


@pytest.mark.parametrize(("mode", "backend"), MODES)
async def test_every_client_reaches_every_address(
    lab: Lab, outside: Namespace, backends: list[Backend], mode: str, backend: str
) -> None:
    names = {backend.name.encode() for backend in backends}
    async with (
        udp_server() as udp,
        running_proxy(
            [web()], [ready(*(backend.endpoint for backend in backends), udp=udp)], mode=mode, backend=backend
        ),
    ):
        for client, node in ((lab.pod, POD_GATEWAY), (lab.node, NODE_ADDRESS), (outside, OUTSIDE_GATEWAY)):
            for address, port in ((CLUSTER_IP, 1234), (EXTERNAL_IP, 1234), (node, NODE_PORT)):
                assert {await client.ask(address, port) for _ in range(40)} == names, (address, port)
                assert await ask_udp(client, address, port) == b"u"


@pytest.mark.parametrize(("mode", "backend"), MODES)
async def test_a_pod_reaches_itself_through_its_own_service(lab: Lab, mode: str, backend: str) -> None:
    loop = asyncio.get_running_loop()
    with lab.pod.listener(POD_ADDRESS) as server:
        async with running_proxy([web()], [ready(server.getsockname())], mode=mode, backend=backend):
            for address, port in ((CLUSTER_IP, 1234), (POD_GATEWAY, NODE_PORT)):
                question = asyncio.create_task(lab.pod.ask(address, port))
                connection, _ = await asyncio.wait_for(loop.sock_accept(server), 2)
                with connection:
                    assert await loop.sock_recv(connection, 100) == b"who?\n"
                    await loop.sock_sendall(connection, b"myself")
                assert await question == b"myself"


@pytest.mark.parametrize(("mode", "backend"), MODES)
async def test_without_endpoints_every_address_refuses_at_once_until_there_are_some(
    lab: Lab, outside: Namespace, backends: list[Backend], mode: str, backend: str
) -> None:
    async with running_proxy([web()], [ready()], mode=mode, backend=backend) as proxy:
        for client, node in ((lab.pod, POD_GATEWAY), (lab.node, NODE_ADDRESS), (outside, OUTSIDE_GATEWAY)):
            for address, port in ((CLUSTER_IP, 1234), (EXTERNAL_IP, 1234), (node, NODE_PORT), ("10.0.77.7", 80)):
                with pytest.raises(ConnectionRefusedError):
                    await client.connect(address, port, timeout=0.5)
                with pytest.raises((ConnectionRefusedError, PermissionError)):
                    await asyncio.wait_for(ask_udp(client, address, port), 0.5)
        proxy.endpoints.put(ready(backends[0].endpoint))
        await proxy.settled()
        assert await outside.ask(OUTSIDE_GATEWAY, NODE_PORT) == b"a"


@pytest.mark.parametrize(("mode", "backend"), MODES)
async def test_affinity_and_its_time(lab: Lab, backends: list[Backend], mode: str, backend: str) -> None:
    sticky = {"session_affinity": "ClientIP"}
    config = core_v1.SessionAffinityConfig(client_ip=core_v1.ClientIPConfig(timeout_seconds=1))
    every = [backend.endpoint for backend in backends]
    async with running_proxy([web(**sticky)], [ready(*every)], mode=mode, backend=backend) as proxy:
        chosen = {await lab.pod.ask(CLUSTER_IP, 1234) for _ in range(20)}
        assert len(chosen) == 1
        left = [backend.endpoint for backend in backends if backend.name.encode() not in chosen]
        proxy.endpoints.put(ready(*left))
        await proxy.settled()
        second = {await lab.pod.ask(CLUSTER_IP, 1234) for _ in range(20)}
        assert len(second) == 1
        assert second != chosen
        proxy.services.put(web(**sticky, session_affinity_config=config))
        await proxy.settled()
        first = await lab.pod.ask(CLUSTER_IP, 1234)

        async def moves() -> bool:
            await asyncio.sleep(1.2)  # away for longer than the entry holds
            return await lab.pod.ask(CLUSTER_IP, 1234) != first

        await eventually(moves, timeout=30)


@pytest.mark.parametrize("mode", ["userspace", "iptables"])
async def test_affinity_does_not_depend_on_the_order_of_things(lab: Lab, backends: list[Backend], mode: str) -> None:
    """The service was there before its endpoints; then it is scaled to nothing and back."""
    every = [backend.endpoint for backend in backends]
    async with running_proxy([web(session_affinity="ClientIP")], [], mode=mode) as proxy:
        with pytest.raises(ConnectionRefusedError):
            await lab.pod.connect(CLUSTER_IP, 1234)
        chosen: set[bytes] = set()
        for _ in range(3):
            proxy.endpoints.put(ready(*every))
            await proxy.settled()
            again = {await lab.pod.ask(CLUSTER_IP, 1234) for _ in range(20)}
            assert len(again) == 1, "one client, one backend"
            if mode == "userspace":
                assert again == (chosen or again), "and the same as before"
            chosen = again
            proxy.endpoints.put(ready())
            await proxy.settled()
            with pytest.raises(ConnectionRefusedError):
                await lab.pod.connect(CLUSTER_IP, 1234)


@pytest.mark.parametrize(("mode", "backend"), MODES)
async def test_policies_and_source_ranges(
    lab: Lab, outside: Namespace, backends: list[Backend], mode: str, backend: str
) -> None:
    here, there = backends[0].endpoint, backends[1].endpoint
    both = ready(here)
    assert both.subsets is not None
    both.subsets += ready(there, node="node-2").subsets or []
    balanced = web(type="LoadBalancer", external_traffic_policy="Local", load_balancer_source_ranges=["10.244.0.0/16"])
    balanced.status.load_balancer.ingress = [core_v1.LoadBalancerIngress(ip="192.0.2.8")]
    ip("route", "add", "192.0.2.8/32", "dev", "outside")
    async with running_proxy([balanced], [both], mode=mode, backend=backend) as proxy:
        assert {await outside.ask(OUTSIDE_GATEWAY, NODE_PORT) for _ in range(20)} == {b"a"}
        assert {await lab.pod.ask(CLUSTER_IP, 1234) for _ in range(30)} == {b"a", b"b"}
        assert await lab.pod.ask("192.0.2.8", 1234) == b"a"
        with pytest.raises(ConnectionRefusedError):
            await outside.connect("192.0.2.8", 1234, timeout=0.5)
        proxy.endpoints.put(ready(there, node="node-2"))
        await proxy.settled()
        with pytest.raises(ConnectionRefusedError):
            await outside.connect(OUTSIDE_GATEWAY, NODE_PORT, timeout=0.5)
        assert await lab.pod.ask(CLUSTER_IP, 1234) == b"b"


@pytest.mark.parametrize("backend", ["legacy", "nft"])
async def test_proxy_ports_are_no_way_around_the_services_rules(
    lab: Lab, outside: Namespace, backends: list[Backend], backend: str
) -> None:
    """The ranges let in nobody at the load balancer's address, and no address of the node is another way in."""
    guarded = web(type="LoadBalancer", load_balancer_source_ranges=["203.0.113.0/24"], external_ips=None)
    guarded.status.load_balancer.ingress = [core_v1.LoadBalancerIngress(ip="192.0.2.8")]
    async with (
        udp_server() as udp,
        running_proxy([guarded], [ready(backends[0].endpoint, udp=udp)], backend=backend) as proxy,
    ):
        rules = [rule for rule in await proxy.tables.rules() if isinstance(rule.target, Redirect)]
        ports = {rule.protocol: rule.target.port for rule in rules if isinstance(rule.target, Redirect)}
        assert ports.keys() == {"tcp", "udp"}
        for client, addresses in (
            (lab.pod, (POD_GATEWAY, NODE_ADDRESS)),
            (lab.node, ("127.0.0.1", POD_GATEWAY, NODE_ADDRESS)),
            (outside, (OUTSIDE_GATEWAY, NODE_ADDRESS)),
        ):
            for address in addresses:
                with pytest.raises(ConnectionRefusedError):
                    await client.connect(address, ports["tcp"], timeout=0.5)
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.wait_for(ask_udp(client, address, ports["udp"]), 0.5)
                assert await client.ask(address, NODE_PORT) == b"a"
                assert await ask_udp(client, address, NODE_PORT) == b"u"
            assert await client.ask(CLUSTER_IP, 1234) == b"a"
            assert await ask_udp(client, CLUSTER_IP, 1234) == b"u"


@pytest.mark.parametrize("backend", ["legacy", "nft"])
async def test_iptables_mode_hides_the_clients_that_must_be_hidden(lab: Lab, outside: Namespace, backend: str) -> None:
    """A pod that is its own client and clients from outside are seen as the node; other pods as themselves."""

    async def seen(client: Namespace, address: str, port: int) -> str:
        loop = asyncio.get_running_loop()
        with await client.connect(address, port):
            connection, (source, _) = await asyncio.wait_for(loop.sock_accept(server), 2)
            connection.close()
            return str(source)

    with lab.pod.listener(POD_ADDRESS) as server:
        arguments = ([web()], [ready(server.getsockname())])
        async with running_proxy(*arguments, backend=backend, mode="iptables") as proxy:
            assert await seen(lab.pod, CLUSTER_IP, 1234) == POD_GATEWAY
            assert await seen(outside, OUTSIDE_GATEWAY, NODE_PORT) == POD_GATEWAY
            proxy.services.put(web(external_traffic_policy="Local"))
            await proxy.settled()
            assert await seen(outside, OUTSIDE_GATEWAY, NODE_PORT) == OUTSIDE_ADDRESS


@pytest.mark.parametrize("backend", ["legacy", "nft"])
async def test_iptables_mode_repairs_restarts_and_cleans_up(lab: Lab, backends: list[Backend], backend: str) -> None:
    def standing() -> list[str]:
        return [line for line in iptables_save(backend).splitlines() if line.startswith("-A")]

    arguments = ([web()], [ready(*(backend.endpoint for backend in backends))])
    async with running_proxy(*arguments, backend=backend, mode="iptables", sync_period=0.3) as proxy:
        before = standing()
        subprocess.run(  # noqa: ASYNC221
            [f"iptables-{backend}", "-t", "nat", "-F", "KUBE-SERVICES"], check=True
        )
        await eventually(lambda: standing() == before)
        proxy.endpoints.put(ready(backends[0].endpoint))
        await proxy.settled()
        assert "".join(standing()).count("DNAT") == 1, "chains of endpoints that are gone are gone"
        left = standing()
    assert standing() == left, "a stopped proxy leaves its rules, and the kernel goes on"
    assert await lab.pod.ask(CLUSTER_IP, 1234) == b"a"
    await clean_up_everywhere()
    assert "KUBE" not in iptables_save(backend)


@pytest.mark.parametrize("backend", ["legacy", "nft"])
async def test_iptables_mode_moves_udp_clients_with_a_fixed_port(lab: Lab, backend: str) -> None:
    async with udp_server() as udp, running_proxy([web()], [ready()], backend=backend, mode="iptables") as proxy:
        with lab.pod.datagram_socket() as sock:
            sock.connect((POD_GATEWAY, NODE_PORT))
            loop = asyncio.get_running_loop()

            async def answered() -> bool:
                with contextlib.suppress(OSError, TimeoutError):
                    sock.send(b"who?")
                    async with asyncio.timeout(0.1):
                        return await loop.sock_recv(sock, 10) == b"u"
                return False

            assert not await answered()
            for _ in range(2):
                proxy.endpoints.put(ready(udp=udp))
                await proxy.settled()
                await eventually(answered, timeout=1)
                proxy.endpoints.put(ready())
                await proxy.settled()
                assert not await answered()


@pytest.mark.parametrize(("first", "second"), [("userspace", "iptables"), ("iptables", "userspace")])
async def test_what_the_other_mode_left_is_reported_and_left(
    lab: Lab, backends: list[Backend], caplog: pytest.LogCaptureFixture, first: str, second: str
) -> None:
    arguments = ([web()], [ready(backends[0].endpoint)])
    async with running_proxy(*arguments, mode=first):
        assert "there are rules of" not in caplog.text
    left = {line for line in iptables_save().splitlines() if line.startswith("-A")}
    async with running_proxy(*arguments, mode=second):
        assert f"there are rules of {first} mode too" in caplog.text
        assert left <= {line for line in iptables_save().splitlines() if line.startswith("-A")}
