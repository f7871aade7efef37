"""The apiserver as a process: how it ends, how it comes back, and two of them on one etcd."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.integration.apiserver.objects import config_map, created, names, ok
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.support import eventually

PATH = "/api/v1/namespaces/default/configmaps"


async def test_it_ends_within_seconds_however_many_watch(etcd: EtcdServer, tmp_path: Path) -> None:
    server = ApiserverProcess(tmp_path, etcd.url)
    await server.start()

    opened: list[httpx.Response] = []

    async def watch(client: httpx.AsyncClient) -> bool:
        async with client.stream("GET", PATH, params={"watch": "1"}) as reply:
            opened.append(reply)
            return [line async for line in reply.aiter_lines()] == []  # a clean end, no broken chunk

    try:
        async with server.http(limits=httpx.Limits(max_connections=50)) as client:
            watchers = [asyncio.create_task(watch(client)) for _ in range(20)]
            await eventually(lambda: len(opened) == 20)
            created(await client.post("/api/v1/namespaces/default/secrets", json={"metadata": {"name": "s"}}))
            started = time.monotonic()
            await asyncio.to_thread(server.stop, signal.SIGTERM)
            assert time.monotonic() - started < 3
            assert await asyncio.gather(*watchers) == [True] * 20
    finally:
        server.kill()


async def test_what_was_written_survives_a_kill(etcd: EtcdServer, tmp_path: Path) -> None:
    server = ApiserverProcess(tmp_path, etcd.url)
    try:
        await server.start()
        async with server.http() as client:
            made = [created(await client.post(PATH, json=config_map(f"c{n}"))) for n in range(20)]
        await server.restart(signal.SIGKILL)
        async with server.http() as client:
            assert ok(await client.get(PATH))["items"] == sorted(made, key=lambda one: one["metadata"]["name"])
    finally:
        server.kill()


@pytest.fixture
async def second(shared_etcd: EtcdServer, tmp_path: Path) -> AsyncIterator[ApiserverProcess]:
    server = ApiserverProcess(tmp_path, shared_etcd.url)
    try:
        await server.start()
        yield server
    finally:
        server.kill()


async def test_two_servers_show_each_others_writes_at_once(
    api: httpx.AsyncClient, ns: str, second: ApiserverProcess
) -> None:
    path = f"{ns}/configmaps"
    async with second.http() as other, other.stream("GET", path, params={"watch": "1"}) as watch:
        lines = watch.aiter_lines()
        for n in range(30):
            created(await api.post(path, json=config_map(f"c{n:02}")))
            seen = ok(await other.get(f"{path}/c{n:02}"))
            seen["data"] = {"x": "1"}
            ok(await other.put(f"{path}/c{n:02}", json=seen))
            assert ok(await api.get(f"{path}/c{n:02}"))["data"] == {"x": "1"}
            assert len(names(await other.get(path))) == n + 1
            ok(await api.request("DELETE", f"{path}/c{n:02}", params={"dryRun": "All"}))
        async with asyncio.timeout(5):
            events = [json.loads(await anext(lines)) for _ in range(60)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED"] * 30


async def test_a_stale_cache_never_decides(api: httpx.AsyncClient, ns: str, second: ApiserverProcess) -> None:
    """An object is made anew through one server and changed through the other, which may still show the old one."""
    path = f"{ns}/pods"
    pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    bind = {"target": {"name": "n1"}}
    async with second.http() as other:
        for _ in range(20):
            created(await api.post(path, json=pod))
            assert (await other.post(f"{path}/a/binding", json=bind)).status_code == 201
            assert ok(await api.delete(f"{path}/a"))["metadata"]["deletionGracePeriodSeconds"] == 30
            ok(await other.delete(f"{path}/a", params={"gracePeriodSeconds": "0"}))
