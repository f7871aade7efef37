"""While one user sends the most expensive requests that fit the limits, others are served, and memory comes back.

A few of these by default; ``make fuzz`` sends them all, for longer.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from apiserver.flowcontrol.controller import WATCHES
from benchmarks import procfs
from tests.integration.apiserver import attacks
from tests.integration.apiserver.attacks import Attack
from tests.integration.apiserver.objects import config_map, created, ok
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.support import eventually

FUZZ = "FUZZ" in os.environ
SECONDS = 6.0 if FUZZ else 2.0
CONNECTIONS = 16
PATIENCE = 1.0
"""Seconds that a GET may take, with one exception in a hundred: a quarter of that on a machine that does nothing else."""
GROWTH = 64 * 2**20
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
BY_DEFAULT = ("9,999 copies", "copies of everything", "a pointer of a million parts", "many containers")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiserverProcess]:
    folder = tmp_path_factory.mktemp("load")
    etcd = EtcdServer(folder)
    asyncio.run(etcd.start())
    server = ApiserverProcess(folder, etcd.url)
    try:
        asyncio.run(server.start())
        yield server
    finally:
        server.kill()
        etcd.kill()


@pytest.fixture
async def neighbour(server: ApiserverProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Another user than the one who attacks, on a server with what the attacks are about."""
    async with server.http() as admin:
        for obj in (attacks.stored(), *(config_map(f"list-{n}", a="b" * 500) for n in range(30))):
            await admin.post(attacks.PATH, json=obj)
        await admin.post(LEASES, json={"metadata": {"name": "lease"}, "spec": {}})
        await eventually(lambda: _is_classified(admin))
    async with server.http("bob") as client:
        yield client


async def _is_classified(admin: httpx.AsyncClient) -> bool:
    return "x-kubernetes-pf-flowschema-uid" in (await admin.get(f"{attacks.PATH}/list-0")).headers


@pytest.mark.parametrize(
    "attack", [attack for attack in attacks.attacks() if FUZZ or attack.name in BY_DEFAULT], ids=str
)
async def test_a_neighbour_is_served_while_a_user_attacks(
    server: ApiserverProcess, neighbour: httpx.AsyncClient, attack: Attack, capsys: pytest.CaptureFixture[str]
) -> None:
    before = procfs.memory([server.pid]).rss
    arguments = [server.url, str(server.authority.cert), "ann", attack.name, str(CONNECTIONS), str(SECONDS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.apiserver.attacks", *arguments, stdout=asyncio.subprocess.PIPE
    )
    running, waits = asyncio.create_task(process.communicate()), []
    while not running.done():
        began = time.monotonic()
        ok(await neighbour.get(f"{attacks.PATH}/list-1"))
        waits.append(time.monotonic() - began)
        if len(waits) % 20 == 0:
            change = {"spec": {"leaseTransitions": len(waits)}}
            ok(await neighbour.patch(f"{LEASES}/lease", json=change, headers=attacks.MERGE_PATCH))
        await asyncio.wait([running], timeout=0.01)
    codes, after = json.loads((await running)[0]), procfs.memory([server.pid]).rss
    waits.sort()
    p99 = waits[len(waits) * 99 // 100 - 1]
    with capsys.disabled():
        if FUZZ:
            print(
                f"\n{attack}: {codes}; {len(waits)} GETs of a neighbour: p50 {waits[len(waits) // 2] * 1e3:.0f} ms, p99 "
                f"{p99 * 1e3:.0f} ms, longest {waits[-1] * 1e3:.0f} ms; {before >> 20} MB before, {after >> 20} MB after"
            )
    assert codes.get(attack.code), codes
    assert set(codes) <= {attack.code, "429"}, codes
    assert p99 < PATIENCE
    assert after < before + GROWTH


async def test_what_is_served_beside_the_event_loop_is_served_alike(
    server: ApiserverProcess, neighbour: httpx.AsyncClient
) -> None:
    large = config_map("large", **attacks.keys(10_000))
    made = created(await neighbour.post(attacks.PATH, json=large))
    assert made["data"] == large["data"]
    assert ok(await neighbour.get(f"{attacks.PATH}/large")) == made  # what was written there can be read here at once
    change = {"metadata": {"labels": {"a": "b"}}}
    changed = ok(await neighbour.patch(f"{attacks.PATH}/large", json=change, headers=attacks.MERGE_PATCH))
    assert changed["metadata"]["labels"] == {"a": "b"}
    reply = await neighbour.post(attacks.PATH, json=large)
    assert (reply.status_code, reply.json()["reason"]) == (409, "AlreadyExists")
    assert {"x-kubernetes-pf-flowschema-uid", "cache-control"} <= set(reply.headers)
    unknown = {**large, "metadata": {"name": "unknown"}, "x": 1}
    reply = await neighbour.post(attacks.PATH, json=unknown, params={"dryRun": "All"})
    assert reply.headers["warning"] == '299 - "unknown field \\"x\\""'
    async with server.http() as admin:
        metrics = (await admin.get("/metrics")).text
    assert 'apiserver_request_total{code="409",group="",resource="configmaps"' in metrics


async def test_the_process_beside_the_event_loop_may_die(
    server: ApiserverProcess, neighbour: httpx.AsyncClient
) -> None:
    large = config_map("mortal", **attacks.keys(10_000))
    created(await neighbour.post(attacks.PATH, json=large, params={"dryRun": "All"}))
    (child,) = [pid for pid in procfs.tree(server.pid) if pid != server.pid]
    os.kill(child, 9)

    async def is_served() -> bool:  # what the process was just given is lost with it, and its client is told so
        reply = await neighbour.post(attacks.PATH, json=large, params={"dryRun": "All"})
        assert reply.status_code in (201, 504)
        return reply.status_code == 201

    await eventually(is_served)


async def test_a_user_may_have_only_so_many_watches_and_their_memory_comes_back(server: ApiserverProcess) -> None:
    head = f"GET {attacks.PATH}?watch=true&resourceVersion=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ann\r\n\r\n"
    context, before = server.ssl_context(), procfs.memory([server.pid]).rss
    writers: list[asyncio.StreamWriter] = []

    async def watch() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        writers.append(writer)
        writer.write(head.encode())
        return await reader.readuntil(b"\r\n\r\n")

    try:
        for _ in range(0, WATCHES, 50):
            heads = await asyncio.gather(*(watch() for _ in range(50)))
            assert all(b" 200 " in head for head in heads)
        # none of them reads what it gets first, which is half a megabyte by now
        assert procfs.memory([server.pid]).rss < before + WATCHES * 192 * 1024
        refused = (await watch()).lower()
        assert b" 429 " in refused
        assert b"retry-after" in refused
    finally:
        for writer in writers:
            writer.transport.abort()
    await eventually(lambda: procfs.memory([server.pid]).rss < before + WATCHES * 32 * 1024, timeout=60)


async def test_flows_are_counted_under_the_names_of_kubernetes(
    server: ApiserverProcess, neighbour: httpx.AsyncClient
) -> None:
    ok(await neighbour.get(f"{attacks.PATH}/list-1"))
    async with server.http() as admin:
        metrics = (await admin.get("/metrics")).text
    labels = 'flow_schema="global-default",priority_level="global-default"'
    assert f"apiserver_flowcontrol_dispatched_requests_total{{{labels}}}" in metrics
    assert f"apiserver_flowcontrol_current_executing_requests{{{labels}}} 0.0" in metrics
    assert 'apiserver_flowcontrol_nominal_limit_seats{priority_level="leader-election"}' in metrics
