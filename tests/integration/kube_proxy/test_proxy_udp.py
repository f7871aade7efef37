"""UDP services through a real kernel: clients that keep their port see each change, however the rules came about."""

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import AsyncIterator

import pytest

from apimachinery.types import core_v1
from kube_proxy import proxier
from tests.integration.kube_proxy.lab import (
    CLUSTER_IP,
    NODE_ADDRESS,
    POD_GATEWAY,
    Lab,
    Namespace,
    endpoints,
    running_proxy,
    service,
)
from tests.support import eventually

PORTS = [core_v1.ServicePort(port=53, protocol="UDP", node_port=30053)]


class Answering(asyncio.DatagramProtocol):
    def __init__(self, name: bytes) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._transport.sendto(self._name, address)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def server(name: bytes) -> AsyncIterator[tuple[str, int]]:
    """A UDP server of the node that answers with its name; its address."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Answering(name), (f"{NODE_ADDRESS}{name[0] % 10}", 0)
    )
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()


def dns(**changes: object) -> core_v1.Service:
    return service("dns", ports=PORTS, type="NodePort", **changes)


def ready(*addresses: tuple[str, int]) -> core_v1.Endpoints:
    return endpoints(*addresses, name="dns", protocol="UDP")


async def ask(sock: socket.socket, timeout: float = 0.2) -> bytes:
    """One datagram and its answer; nothing if there is none in time or the port is unreachable."""
    with contextlib.suppress(OSError, TimeoutError):
        sock.send(b"who?")
        async with asyncio.timeout(timeout):
            return await asyncio.get_running_loop().sock_recv(sock, 100)
    return b""


def client(place: Namespace, address: str, port: int = 53) -> socket.socket:
    sock = place.datagram_socket()
    sock.connect((address, port))  # keeps its source port, and takes answers from no other address
    return sock


async def answered(sock: socket.socket, name: bytes, within: float = 1.0) -> None:
    async def yes() -> bool:
        return await ask(sock) == name

    started = time.monotonic()
    await eventually(yes, interval=0.01)
    assert time.monotonic() - started < within


def conntrack(*arguments: str) -> str:
    return subprocess.run(["conntrack", *arguments], check=True, capture_output=True, text=True).stdout


def remembered() -> str:
    return conntrack("-L", "-p", "udp")


async def test_a_client_with_a_fixed_port_sees_endpoints_go_and_come_back(lab: Lab) -> None:
    """From pod and node, through cluster IP and node port: answered again within a second."""
    async with server(b"1") as first, server(b"2") as second, running_proxy([dns()], [ready(first)]) as proxy:
        places = [(lab.pod, CLUSTER_IP, 53), (lab.node, CLUSTER_IP, 53), (lab.pod, POD_GATEWAY, 30053)]
        clients = [client(*place) for place in places]
        for sock in clients:
            await answered(sock, b"1")
        proxy.endpoints.put(ready())
        await proxy.settled()
        for sock in clients:
            sock.send(b"who?")
            with pytest.raises(ConnectionRefusedError):  # at once, by the kernel
                await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 100), 0.2)
        proxy.endpoints.put(ready(second))
        await proxy.settled()
        for sock in clients:
            await answered(sock, b"2")
            sock.close()


async def test_a_client_that_asked_before_the_service_was_there_is_answered(lab: Lab) -> None:
    """Its datagrams have gone to a closed port, and the kernel would send all others after them."""
    async with server(b"1") as backend, running_proxy([service()]) as proxy:
        with client(lab.pod, POD_GATEWAY, 30053) as sock:
            await ask(sock)
            assert "dport=30053" in remembered()
            proxy.services.put(dns())
            proxy.endpoints.put(ready(backend))
            await proxy.settled()
            await answered(sock, b"1")


async def test_a_client_follows_its_service_to_another_proxy_port(lab: Lab) -> None:
    async with server(b"1") as backend, running_proxy([dns()], [ready(backend)]) as proxy:
        with client(lab.pod, CLUSTER_IP) as sock:
            await answered(sock, b"1")
            proxy.services.delete("dns")
            await proxy.settled()
            assert "dport=53 " not in remembered()
            proxy.services.put(dns())
            await proxy.settled()
            await answered(sock, b"1")


async def test_a_restart_keeps_flows_that_are_well_and_ends_those_to_nowhere(lab: Lab) -> None:
    async with server(b"1") as backend:
        other = service("other", "10.0.0.12", ports=[core_v1.ServicePort(port=53, protocol="UDP")])
        also = endpoints(backend, name="other", protocol="UDP")
        with client(lab.pod, CLUSTER_IP) as staying, client(lab.pod, "10.0.0.12") as going:
            async with running_proxy([dns(), other], [ready(backend), also]):
                await answered(staying, b"1")
                await answered(going, b"1")
            async with running_proxy([dns()], [ready(backend)]):
                entries = remembered()
                assert "dst=10.0.0.12" not in entries
                assert f"dst={CLUSTER_IP}" in entries
                await answered(staying, b"1")


async def test_stale_entries_go_without_any_news(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxier, "FLOW_SWEEP_PERIOD", 0.1)
    async with server(b"1") as backend, running_proxy([dns()], [ready(backend)], sync_period=0.1):
        conntrack(
            "-I", "-p", "udp", "-s", "10.244.250.2", "-d", CLUSTER_IP, "--sport", "5000", "--dport", "53", "-r",
            CLUSTER_IP, "-q", "10.244.250.2", "--reply-port-src", "53", "--reply-port-dst", "5000", "-t", "600",
        )  # fmt: skip
        await eventually(lambda: "sport=5000" not in remembered())
