"""Faults under load, and many services: that nothing leaks, hangs or falls behind."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
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
    iptables,
    running_proxy,
    service,
)
from tests.support import eventually

REFUSING = "127.0.1.9"
PAGE = os.sysconf("SC_PAGESIZE")


def descriptors(proxy: Proxy) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in proxy.pool.pids)


def resident(*pids: int) -> int:
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * PAGE


def workers_memory(proxy: Proxy) -> int:
    return resident(*proxy.pool.pids)


async def asked(lab: Lab, count: int, at_once: int = 16, address: str = CLUSTER_IP) -> int:
    """How many of ``count`` short connections were answered."""
    answered, left = 0, iter(range(count))

    async def client() -> None:
        nonlocal answered
        for _ in left:
            with contextlib.suppress(OSError, TimeoutError):
                await lab.pod.ask(address, 1234)
                answered += 1

    async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(client())
    return answered


@contextlib.asynccontextmanager
async def under_load(lab: Lab) -> AsyncIterator[list[tuple[float, bool]]]:
    """Clients that ask one after the other until the block ends; when, and whether they were answered."""
    results: list[tuple[float, bool]] = []

    async def ask() -> None:
        while True:
            answered = False
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(2):
                    answered = bool(await lab.pod.ask(CLUSTER_IP, 1234))
            results.append((time.monotonic(), answered))
            await asyncio.sleep(0.002)

    tasks = [asyncio.create_task(ask()) for _ in range(4)]
    try:
        await eventually(lambda: len(results) > 20)
        yield results
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def failures(results: list[tuple[float, bool]], since: float = 0.0) -> int:
    return sum(not answered for when, answered in results if when >= since)


async def test_ten_thousand_short_connections_and_a_thousand_idle_ones(lab: Lab, proxy: Proxy) -> None:
    await asked(lab, 200)
    before, memory = descriptors(proxy), workers_memory(proxy)
    async with contextlib.AsyncExitStack() as stack:
        idle = [stack.enter_context(await lab.pod.connect(CLUSTER_IP, 1234)) for _ in range(1000)]
        await eventually(lambda: descriptors(proxy) >= before + 2000)
        assert await asked(lab, 10_000) == 10_000
        assert workers_memory(proxy) - memory < 20_000_000
        loop = asyncio.get_running_loop()
        for sock in idle[::100]:  # alive after all that
            await loop.sock_sendall(sock, b"x")
            sock.shutdown(socket.SHUT_WR)
            assert await asyncio.wait_for(loop.sock_recv(sock, 10), 2) in (b"a", b"b", b"c")
    await eventually(lambda: descriptors(proxy) <= before + len(proxy.pool.pids))


async def test_endpoints_killed_under_load_cost_no_client_anything(
    lab: Lab, proxy: Proxy, backends: list[Backend]
) -> None:
    """They refuse from one moment to the next, and the API tells of it only later."""
    async with under_load(lab) as results:
        backends[0]._server.close()
        backends[1]._server.close()
        since = time.monotonic()
        await eventually(lambda: sum(when > since + 0.1 for when, _ in results) > 100)
        proxy.endpoints.put(endpoints(backends[2].endpoint))
        await proxy.settled()
        count = len(results)
        await eventually(lambda: len(results) > count + 50)
    # A connection that a dying server had in its queue is lost with it; none that came later is.
    assert failures(results) <= 8
    assert failures(results, since + 0.1) == 0


async def test_killed_workers_under_load_cost_what_was_open_and_no_more(lab: Lab, proxy: Proxy) -> None:
    async with under_load(lab) as results:
        for pid in proxy.pool.pids:
            os.kill(pid, signal.SIGKILL)
        since = time.monotonic()
        await eventually(lambda: sum(when > since + 2 for when, _ in results) > 50)
    assert failures(results, since + 2) == 0
    assert failures(results) <= 8


@pytest.mark.parametrize("mode", ["userspace", "iptables"])
@pytest.mark.parametrize("how", ["nat flushed", "all removed"])
async def test_rules_removed_under_load_are_back_within_five_seconds(
    lab: Lab, backends: list[Backend], mode: str, how: str
) -> None:
    """With the period that is the default; as by an administrator, and as firewalld does when it starts."""
    services = [service(), service("other", "10.0.0.12")]
    async with running_proxy(services, [endpoints(backends[0].endpoint)], sync_period=5.0, mode=mode) as proxy:
        async with under_load(lab) as results:
            iptables("-t", "nat", "-F")
            if how == "all removed":
                for table, action in (("filter", "-F"), ("nat", "-X"), ("filter", "-X")):
                    iptables("-t", table, action)
            since = time.monotonic()
            for n in range(40):  # other news, all the time, must not put it off
                proxy.endpoints.put(endpoints((REFUSING, n + 1), name="other"))
                await asyncio.sleep(0.125)
            await eventually(lambda: sum(when > since + 5 for when, _ in results) > 50)
        assert failures(results, since + 5) == 0
        for address, port in ((CLUSTER_IP, 9), ("10.0.77.7", 80)):
            with pytest.raises(ConnectionRefusedError):
                await lab.pod.connect(address, port, timeout=0.5)


async def test_a_resetting_client_leaves_nothing(lab: Lab, proxy: Proxy) -> None:
    await asked(lab, 100)
    before = descriptors(proxy)
    for _ in range(300):
        with await lab.pod.connect(CLUSTER_IP, 1234) as client:
            client.send(b"x" * 1000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await eventually(lambda: descriptors(proxy) <= before + len(proxy.pool.pids))
    assert await asked(lab, 100) == 100


async def test_a_backend_that_accepts_and_hangs_delays_its_own_clients_only(lab: Lab, proxy: Proxy) -> None:
    with socket.create_server(("127.0.1.8", 0), backlog=200) as hanging:
        proxy.services.put(service("hanging", "10.0.0.12"))
        proxy.endpoints.put(endpoints(hanging.getsockname(), name="hanging"))
        await proxy.settled()
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(150):
                client = stack.enter_context(await lab.pod.connect("10.0.0.12", 1234))
                client.send(b"who?")
            started = time.monotonic()
            assert await asked(lab, 500) == 500
            assert time.monotonic() - started < 5


async def test_running_out_of_local_ports_towards_one_backend_is_counted_and_ends(
    lab: Lab, backends: list[Backend]
) -> None:
    """The clients that find none are reset at once; when there are ports again, all is well."""
    before = source_ports()
    async with running_proxy([service()], [endpoints(backends[0].endpoint)]) as proxy:
        assert await asked(lab, 10) == 10
        source_ports("61000 61007")
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(8):
                stack.enter_context(await lab.pod.connect(CLUSTER_IP, 1234))
            await eventually(lambda: proxy.pool.open_connections or proxy.counters.accepted >= 18)
            with pytest.raises(ConnectionResetError):
                await lab.pod.ask(CLUSTER_IP, 1234)
            await eventually(lambda: proxy.counters.failed)
        source_ports(before)
        assert await asked(lab, 10) == 10


def source_ports(new: str = "") -> str:
    """The node's range of source ports, changed if there is a new one."""
    path = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if new:
        path.write_text(new)
    return path.read_text()


def many(count: int) -> tuple[list[core_v1.Service], list[core_v1.Endpoints]]:
    """Services with five endpoints each."""
    services = [service(f"s{n}", f"10.0.{4 + n // 250}.{n % 250}") for n in range(count)]
    ready = [
        endpoints(*((f"127.1.{n // 250}.{n % 250}", 8000 + i) for i in range(5)), name=f"s{n}") for n in range(count)
    ]
    return services, ready


@pytest.mark.parametrize(
    ("count", "mode", "backend", "first", "change"),
    [
        (1000, "userspace", "legacy", 10.0, 1.0),
        (1000, "userspace", "nft", 10.0, 1.0),
        (1000, "iptables", "legacy", 10.0, 1.0),
        (1000, "iptables", "nft", 10.0, 1.0),
        (5000, "userspace", "legacy", 50.0, 5.0),
        (5000, "userspace", "nft", 50.0, 5.0),
        (5000, "iptables", "legacy", 50.0, 5.0),
        (5000, "iptables", "nft", 50.0, 5.0),
    ],
)
async def test_many_services(
    lab: Lab, backends: list[Backend], count: int, mode: str, backend: str, first: float, change: float
) -> None:
    services, ready = many(count)
    started = time.monotonic()
    async with running_proxy(services, ready, mode=mode, backend=backend) as proxy:
        synced = time.monotonic() - started
        started = time.monotonic()
        proxy.services.put(service("new", "10.0.0.50"))
        proxy.endpoints.put(endpoints(backends[0].endpoint, name="new"))
        await proxy.settled()
        assert await lab.pod.ask("10.0.0.50", 1234) == b"a"
        live = time.monotonic() - started
        started = time.monotonic()
        proxy.endpoints.put(endpoints(backends[1].endpoint, name="new"))
        await proxy.settled()
        assert await lab.pod.ask("10.0.0.50", 1234) == b"b"
        moved = time.monotonic() - started
        workers = workers_memory(proxy)
        print(
            f"{count} services, {mode}, {backend}: first sync {synced:.2f} s, new service {live:.2f} s, "
            f"moved {moved:.2f} s, workers {workers / 1e6:.0f} MB"
        )
        assert synced < first
        assert max(live, moved) < change
