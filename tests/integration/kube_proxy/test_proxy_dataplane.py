"""The workers: what a client and a backend see of each other through a forwarded connection, and what faults do."""

import asyncio
import contextlib
import hashlib
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apimachinery.types import core_v1
from tests.integration.kube_proxy.lab import (
    CLUSTER_IP,
    Backend,
    Lab,
    Proxy,
    endpoints,
    ip,
    read_all,
    running_proxy,
    service,
)
from tests.support import eventually

REFUSING = ("127.0.1.9", 9)
"""Nobody listens there."""
SILENT = ("192.0.2.9", 80)
"""On an empty bridge: no answer at all."""


@contextlib.asynccontextmanager
async def connected(lab: Lab, proxy: Proxy) -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    """A client in the pod and the backend's end of its connection, both plain sockets."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.1.8", 0)) as server:
        server.setblocking(False)
        proxy.endpoints.put(endpoints(server.getsockname()))
        await proxy.settled()
        with await lab.pod.connect(CLUSTER_IP, 1234) as client:
            backend, _ = await loop.sock_accept(server)
            with backend:
                yield client, backend


async def test_the_end_of_one_direction_leaves_the_other_open(lab: Lab, proxy: Proxy) -> None:
    loop = asyncio.get_running_loop()
    for swap in (False, True):
        async with connected(lab, proxy) as ends, asyncio.timeout(5):
            first, second = reversed(ends) if swap else ends
            await loop.sock_sendall(first, b"all I have to say")
            first.shutdown(socket.SHUT_WR)
            assert await read_all(second) == b"all I have to say"
            for part in (b"and ", b"the ", b"answer"):
                await loop.sock_sendall(second, part)
            second.close()
            assert await read_all(first) == b"and the answer"


async def test_bulk_arrives_whole_in_both_directions_at_once(lab: Lab, proxy: Proxy) -> None:
    loop = asyncio.get_running_loop()
    there, back = os.urandom(20_000_000), os.urandom(20_000_000)

    async def send(sock: socket.socket, data: bytes) -> None:
        await loop.sock_sendall(sock, data)
        sock.shutdown(socket.SHUT_WR)

    async with connected(lab, proxy) as (client, backend), asyncio.timeout(30):
        _, _, got_there, got_back = await asyncio.gather(
            send(client, there), send(backend, back), read_all(backend), read_all(client)
        )
    assert hashlib.sha256(got_there).digest() == hashlib.sha256(there).digest()
    assert hashlib.sha256(got_back).digest() == hashlib.sha256(back).digest()


async def test_a_slow_reader_stops_the_sender_and_costs_no_memory(lab: Lab, proxy: Proxy) -> None:
    before = memory(proxy)
    async with connected(lab, proxy) as (client, backend):
        sent = await send_until_full(client)
        assert sent < 64_000_000, "nobody reads: buffers are the kernel's, and few"
        assert memory(proxy) - before < 8_000_000
        client.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(10):
            assert len(await read_all(backend)) == sent


async def test_a_paused_connection_costs_no_processor_time(lab: Lab, proxy: Proxy) -> None:
    """Also when the sender has ended meanwhile, which epoll reports whether one asks or not."""
    async with connected(lab, proxy) as (client, backend):
        backend.shutdown(socket.SHUT_WR)
        assert await read_all(client) == b""
        await send_until_full(client)
        client.shutdown(socket.SHUT_WR)
        before = cpu_seconds(proxy)
        await asyncio.sleep(0.5)  # the time over which nothing must be spent
        assert cpu_seconds(proxy) - before < 0.1


async def test_a_reset_is_passed_on(lab: Lab, proxy: Proxy) -> None:
    for swap in (False, True):
        async with connected(lab, proxy) as ends:
            first, second = reversed(ends) if swap else ends
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            first.close()
            with pytest.raises(ConnectionResetError):
                async with asyncio.timeout(2):
                    await read_all(second)


async def test_ended_connections_leave_no_descriptor(lab: Lab, proxy: Proxy) -> None:
    before = descriptors(proxy) + len(proxy.pool.pids)  # each may keep a spare one
    for _ in range(50):
        await lab.pod.ask(CLUSTER_IP, 1234)
    await eventually(lambda: descriptors(proxy) <= before)
    async with connected(lab, proxy) as (client, backend):
        client.close()
        backend.close()
        await eventually(lambda: descriptors(proxy) <= before)


async def test_a_backend_that_refuses_is_passed_over(lab: Lab, proxy: Proxy, backends: list[Backend]) -> None:
    refusing = [(REFUSING[0], port) for port in range(1, 9)]
    proxy.endpoints.put(endpoints(*refusing, backends[0].endpoint))
    await proxy.settled()
    started = time.monotonic()
    assert {await lab.pod.ask(CLUSTER_IP, 1234) for _ in range(20)} == {b"a"}
    assert time.monotonic() - started < 2
    await eventually(lambda: proxy.counters.dial_errors > 20)


async def test_a_silent_backend_is_passed_over_after_a_moment(lab: Lab, proxy: Proxy, backends: list[Backend]) -> None:
    silence()
    proxy.endpoints.put(endpoints(SILENT, backends[0].endpoint))
    await proxy.settled()
    for _ in range(6):
        started = time.monotonic()
        assert await lab.pod.ask(CLUSTER_IP, 1234) == b"a"
        assert time.monotonic() - started < 0.6


async def test_a_client_of_a_silent_backend_delays_nobody(lab: Lab, proxy: Proxy, backends: list[Backend]) -> None:
    silence()
    proxy.services.put(service("silent", "10.0.0.12"))
    proxy.endpoints.put(endpoints(SILENT, name="silent"))
    await proxy.settled()
    waiting = [asyncio.create_task(lab.pod.ask("10.0.0.12", 1234)) for _ in range(20)]
    started = time.monotonic()
    for _ in range(20):
        await lab.pod.ask(CLUSTER_IP, 1234)
    assert time.monotonic() - started < 1
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, ConnectionResetError) for result in results)
    # 250 ms, 500 ms, 1 s, 2 s: all four attempts were made, and no more.
    assert 3.7 < time.monotonic() - started < 5


async def test_unreachable_backends_reset_the_client(lab: Lab, proxy: Proxy) -> None:
    proxy.endpoints.put(endpoints(REFUSING))
    await proxy.settled()
    started = time.monotonic()
    with pytest.raises(ConnectionResetError):
        await lab.pod.ask(CLUSTER_IP, 1234)
    assert time.monotonic() - started < 0.2
    await eventually(lambda: proxy.counters.failed == 1)


async def test_client_ip_affinity_keeps_a_client_at_its_backend(
    lab: Lab, proxy: Proxy, backends: list[Backend]
) -> None:
    proxy.services.put(service(session_affinity="ClientIP"))
    await proxy.settled()
    chosen = {await lab.pod.ask(CLUSTER_IP, 1234) for _ in range(20)}
    assert len(chosen) == 1
    left = [backend.endpoint for backend in backends if backend.name.encode() not in chosen]
    proxy.endpoints.put(endpoints(*left))
    await proxy.settled()
    second = {await lab.pod.ask(CLUSTER_IP, 1234) for _ in range(20)}
    assert len(second) == 1
    assert second != chosen
    proxy.services.put(service())
    await proxy.settled()
    assert len({await lab.pod.ask(CLUSTER_IP, 1234) for _ in range(40)}) == 2


async def test_no_worker_takes_all_connections(lab: Lab, proxy: Proxy) -> None:
    """Even when they come one by one, and the same worker could take each. Who has the processor takes more."""

    def held() -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in proxy.pool.pids]

    before = held()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(300):
            stack.enter_context(await lab.pod.connect(CLUSTER_IP, 1234))
            if min(now - then for now, then in zip(held(), before, strict=True)) >= 20:
                return
    raise AssertionError("one worker took nearly all of 300 connections")


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_killed_worker_is_replaced(lab: Lab, backends: list[Backend], workers: int) -> None:
    """Connections that come meanwhile wait; none is refused."""
    async with running_proxy([service()], [endpoints(backends[0].endpoint)], workers=workers) as proxy:
        for _ in range(2):
            before = set(proxy.pool.pids)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            assert await lab.pod.ask(CLUSTER_IP, 1234) == b"a"
            await eventually(lambda: len(set(proxy.pool.pids) - before) == workers)  # noqa: B023


async def test_running_out_of_descriptors_delays_clients_and_nothing_else(lab: Lab, backends: list[Backend]) -> None:
    async with running_proxy([service()], [endpoints(backends[0].endpoint)], workers=1) as proxy:
        (pid,) = proxy.pool.pids
        room = descriptors(proxy) + 8
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (room, room))
        clients = [await lab.pod.connect(CLUSTER_IP, 1234) for _ in range(20)]
        before = cpu_seconds(proxy)
        await asyncio.sleep(1)  # the time over which it must not spin
        assert cpu_seconds(proxy) - before < 0.3
        for client in clients:
            client.close()

        async def answers() -> bool:
            with contextlib.suppress(OSError):
                return await lab.pod.ask(CLUSTER_IP, 1234) == b"a"
            return False

        await eventually(answers)
        assert proxy.pool.pids == [pid]


async def test_workers_end_with_their_parent(lab: Lab) -> None:
    parent = subprocess.Popen(  # noqa: ASYNC220  # its output is one short line
        [sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert len(workers) == 2
    await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


async def test_datagrams_find_a_backend_and_the_way_back(lab: Lab, backends: list[Backend]) -> None:
    """From the node and from a pod; whole up to the largest size; answers come from the address that was asked."""
    loop = asyncio.get_running_loop()
    ports = [core_v1.ServicePort(port=53, protocol="UDP")]
    echo, _ = await loop.create_datagram_endpoint(_Echo, ("127.0.1.7", 0))
    ready = endpoints(echo.get_extra_info("sockname"), protocol="UDP")
    async with running_proxy([service(ports=ports)], [ready]) as proxy:
        for client in (lab.node, lab.pod):
            with client.datagram_socket() as sock:
                sock.connect((CLUSTER_IP, 53))  # takes datagrams from no other address
                for size in (1, 1400, 60_000):
                    sock.send(b"x" * size)
                    async with asyncio.timeout(2):
                        assert await loop.sock_recv(sock, 65536) == b"x" * size
        await eventually(lambda: proxy.counters.datagrams_to_clients == 6)
    echo.close()


class _Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._transport.sendto(data, address)  # type: ignore[attr-defined]


_PARENT = """
import asyncio
from kube_proxy.dataplane.pool import WorkerPool

async def main():
    pool = WorkerPool(2)
    task = asyncio.create_task(pool.run())
    await pool.settled()
    print(*pool.pids, flush=True)
    await task

asyncio.run(main())
"""


async def send_until_full(sock: socket.socket) -> int:
    """Send to somebody who does not read until nothing has gone for a while; bytes that were taken."""
    sent, last = 0, time.monotonic()
    while time.monotonic() - last < 0.3:
        try:
            sent += sock.send(b"x" * 100_000)
            last = time.monotonic()
        except BlockingIOError:
            await asyncio.sleep(0.01)
    return sent


def silence() -> None:
    ip("link", "add", "silent", "type", "bridge")
    ip("addr", "add", "192.0.2.1/24", "dev", "silent")
    ip("link", "set", "silent", "up")


def descriptors(proxy: Proxy) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in proxy.pool.pids)


def memory(proxy: Proxy) -> int:
    """Resident bytes of all workers."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in proxy.pool.pids]
    return sum(pages) * resource.getpagesize()


def cpu_seconds(proxy: Proxy) -> float:
    fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in proxy.pool.pids]
    return sum(int(stat[11]) + int(stat[12]) for stat in fields) / os.sysconf("SC_CLK_TCK")
