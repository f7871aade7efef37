"""Five hundred watchers of three workers and a second apiserver, one of them stalled; and bookmarks in silence."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from apiserver.handlers import watches
from apiserver.options import ApiserverOptions
from apiserver.server import serve
from component_base.flags import parse
from tests.integration.apiserver.objects import config_map, created, ok
from tests.integration.apiserver_process import TOKEN, ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.support import eventually

WATCHERS = 500
CHANGES = 40
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def workers(shared_etcd: EtcdServer, tmp_path: Path) -> AsyncIterator[ApiserverProcess]:
    server = ApiserverProcess(tmp_path, shared_etcd.url, "--workers=3")
    try:
        await server.start()
        yield server
    finally:
        server.kill()


class Watcher:
    """A watch on a connection of its own, read only when asked to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, server: ApiserverProcess, path: str, tls: ssl.SSLContext) -> "Watcher":
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port, ssl=tls)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        assert b" 200 " in head.splitlines()[0], head
        return cls(reader, writer)

    async def take(self, count: int) -> list[tuple[str, str]]:
        """Type and version of the next events."""
        events = []
        while len(events) < count:
            size = int(await self._reader.readline(), 16)
            assert size, "the stream ended"
            chunk = await self._reader.readexactly(size + 2)
            for line in chunk.splitlines():
                if line:
                    event = json.loads(line)
                    events.append((event["type"], event["object"]["metadata"]["resourceVersion"]))
        return events

    def close(self) -> None:
        self._writer.transport.abort()


async def test_all_see_the_same_whichever_process_serves_them(
    shared: ApiserverProcess, workers: ApiserverProcess, api: httpx.AsyncClient, ns: str
) -> None:
    path, started = f"{ns}/configmaps", ok(await api.get(f"{ns}/configmaps"))["metadata"]["resourceVersion"]
    tls = shared.ssl_context(), workers.ssl_context()
    watch = f"{path}?watch=true&resourceVersion={started}"
    opened: list[Watcher] = []
    try:
        for n in range(0, WATCHERS, 25):  # as many at a time as two cores shake hands with in good time
            several = [(shared, tls[0]) if (n + i) % 5 == 0 else (workers, tls[1]) for i in range(25)]
            opened += await asyncio.gather(*(Watcher.open(server, watch, context) for server, context in several))
        stalled, *quick = opened
        async with workers.http() as other:
            writers = [api, other]
            versions = [created(await other.post(path, json=config_map("a")))["metadata"]["resourceVersion"]]
            for n in range(CHANGES - 1):
                change = {"data": {"x": f"{n:05}" * 4000}}
                changed = ok(await writers[n % 2].patch(f"{path}/a", json=change, headers=MERGE))
                versions.append(changed["metadata"]["resourceVersion"])
        expected = [("ADDED", versions[0]), *(("MODIFIED", version) for version in versions[1:])]
        async with asyncio.timeout(60):
            for watcher in quick:
                assert await watcher.take(CHANGES) == expected
            assert await stalled.take(CHANGES) == expected  # it misses nothing that it still has a place for
    finally:
        for watcher in opened:
            watcher.close()


async def test_workers_see_each_others_writes_at_once(workers: ApiserverProcess) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    limits = httpx.Limits(max_keepalive_connections=0)  # each request on a new connection, so to any worker
    async with workers.http(limits=limits) as client:
        for n in range(30):
            made = created(await client.post(path, json=config_map(f"shared-{n}")))
            assert ok(await client.get(f"{path}/shared-{n}")) == made
            ok(await client.patch(f"{path}/shared-{n}", json={"data": {"n": str(n)}}, headers=MERGE))
            assert ok(await client.get(f"{path}/shared-{n}"))["data"] == {"n": str(n)}

        counts = [line for line in (await client.get("/metrics")).text.splitlines() if _is_creation(line)]
        assert sum(float(line.rpartition(" ")[2]) for line in counts) < 30  # each counts what it has served itself


def _is_creation(line: str) -> bool:
    return line.startswith("apiserver_request_total") and all(part in line for part in ('"POST"', '"configmaps"'))


async def test_bookmarks_come_in_silence_and_tell_how_far_the_world_is(
    shared: ApiserverProcess, shared_etcd: EtcdServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, so that a minute can be made short."""
    monkeypatch.setattr(watches, "_BOOKMARK_EVERY", 0.2)
    server = ApiserverProcess(tmp_path, shared_etcd.url)
    options = parse(ApiserverOptions, "kube-apiserver", argv=server.arguments)
    task = asyncio.create_task(serve(options))
    try:
        await server.ready()
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(server.http())
            quiet = "/api/v1/namespaces/default/podtemplates"
            params = {"watch": "true", "allowWatchBookmarks": "true"}
            reply = await stack.enter_async_context(client.stream("GET", quiet, params=params))
            lines = reply.aiter_lines()

            async def bookmark() -> int:
                event: dict[str, Any] = json.loads(await asyncio.wait_for(anext(lines), 5))
                assert (event["type"], event["object"]["kind"]) == ("BOOKMARK", "PodTemplate")
                return int(event["object"]["metadata"]["resourceVersion"])

            first = await bookmark()
            elsewhere = created(await client.post("/api/v1/namespaces/default/secrets", json=config_map("elsewhere")))
            wanted = int(elsewhere["metadata"]["resourceVersion"])
            assert first < wanted

            async def told() -> bool:
                return await bookmark() >= wanted

            await eventually(told)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
