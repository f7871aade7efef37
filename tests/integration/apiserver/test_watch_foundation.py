"""Watches over HTTP while everything below them is killed: no gap, no duplicate, no version going back."""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from apimachinery import selectors
from apiserver.storage import Etcd
from apiserver.storage.etcd import Revision
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.integration.history import history
from tests.support import eventually

PATH = "/api/v1/namespaces/default/configmaps"
PREFIX = "/registry/core/configmaps/default/"
SELECTORS = ("", "tier=a", "tier!=a", "tier in (a,b)", "tier notin (a)", "tier", "!tier", "tier=b,size=1")
Seen = tuple[str, str, int]


@dataclass
class Segment:
    """A stretch of a watch: what a list showed at ``start``, and the events after it."""

    start: int
    listed: set[str]
    events: list[Seen] = field(default_factory=list)


class Watcher:
    """A client as the client libraries are: lists, watches, resumes, and lists again after an honest 410."""

    def __init__(self, server: ApiserverProcess, selector: str, bookmarks: bool) -> None:
        self._server, self.selector, self._bookmarks = server, selector, bookmarks
        self.segments: list[Segment] = []
        self.reached = 0
        self.went_back: list[Seen] = []

    async def run(self) -> None:
        async with self._server.http() as client:
            while True:
                try:
                    if not self.segments or self.reached == 0:
                        await self._list(client)
                    await self._watch(client)
                except (httpx.HTTPError, json.JSONDecodeError):
                    await asyncio.sleep(0.02)

    async def _list(self, client: httpx.AsyncClient) -> None:
        reply = await client.get(PATH, params={"labelSelector": self.selector})
        if reply.status_code == 200:
            body = reply.json()
            self.reached = int(body["metadata"]["resourceVersion"])
            names = {item["metadata"]["name"] for item in body["items"]}
            self.segments.append(Segment(self.reached, names))

    async def _watch(self, client: httpx.AsyncClient) -> None:
        params = {"watch": "1", "resourceVersion": str(self.reached), "labelSelector": self.selector}
        if self._bookmarks:
            params["allowWatchBookmarks"] = "true"
        async with client.stream("GET", PATH, params=params) as reply:
            if reply.status_code != 200:
                self.reached = 0 if reply.status_code == 410 else self.reached
                return
            async for line in reply.aiter_lines():
                if line and not self._take(json.loads(line)):
                    return

    def _take(self, event: dict[str, Any]) -> bool:
        if event["type"] == "ERROR":
            assert event["object"]["code"] == 410, event
            assert event["object"]["reason"] == "Expired"
            self.reached = 0
            return False
        metadata = event["object"]["metadata"]
        version = int(metadata["resourceVersion"])
        if event["type"] != "BOOKMARK":
            seen = (event["type"], metadata["name"], version)
            if version <= self.reached:
                self.went_back.append(seen)
            self.segments[-1].events.append(seen)
        self.reached = max(self.reached, version)
        return True


def expected(truth: list[Revision], selector: str) -> Iterator[Seen]:
    """The history as it looks through a label selector."""
    wanted = selectors.parse_labels(selector)
    matching: dict[str, bool] = {}
    for revision in truth:
        for change in revision.changes:
            if not change.key.startswith(PREFIX):
                continue
            name = change.key.removeprefix(PREFIX)
            before, after = matching.get(name, False), False
            if change.value is not None:
                labels = json.loads(change.value)["metadata"].get("labels", {})
                after = wanted.matches(labels)
            matching[name] = after
            if after:
                yield ("MODIFIED" if before else "ADDED", name, revision.number)
            elif before:
                yield ("DELETED", name, revision.number)


def present_at(events: list[Seen], revision: int) -> set[str]:
    names: set[str] = set()
    for kind, name, number in events:
        if number > revision:
            break
        (names.discard if kind == "DELETED" else names.add)(name)
    return names


async def write_for_ever(server: ApiserverProcess, worker: int, done: list[int]) -> None:
    """Creates, relabels and deletes; what fails for a kill is tried again as something else."""
    chance = random.Random(worker)
    async with server.http() as client:
        n = 0
        while True:
            n += 1
            name = f"w{worker}-{n % 5}"
            labels = {"tier": chance.choice("abc"), "size": chance.choice("12")} if chance.random() < 0.8 else {}
            body = {"metadata": {"name": name, "labels": labels}, "data": {"n": str(n)}}
            try:
                reply = await client.post(PATH, json=body)
                if reply.status_code == 409:
                    verb = client.delete(f"{PATH}/{name}") if chance.random() < 0.3 else None
                    reply = await (verb or client.put(f"{PATH}/{name}", json=body))
                if reply.is_success:
                    done.append(1)
            except httpx.HTTPError:
                await asyncio.sleep(0.02)


async def test_every_watcher_sees_etcds_own_history(etcd: EtcdServer, apiserver: ApiserverProcess) -> None:
    """20 watchers with mixed selectors under load, while etcd is compacted and both processes are killed."""
    observer = Etcd(etcd.config)
    start = await observer.revision()
    watchers = [Watcher(apiserver, SELECTORS[n % len(SELECTORS)], bookmarks=n % 2 == 0) for n in range(20)]
    tasks = [asyncio.create_task(watcher.run()) for watcher in watchers]
    await eventually(lambda: all(watcher.segments for watcher in watchers))
    done: list[int] = []
    writers = [asyncio.create_task(write_for_ever(apiserver, n, done)) for n in range(4)]
    truth: list[Revision] = []

    async def load(writes: int) -> None:
        target = len(done) + writes
        await eventually(lambda: len(done) >= target, timeout=30)

    async def learn_and_compact() -> None:
        now = await observer.revision()
        truth.extend(await history(observer, (truth[-1].number if truth else start) + 1, now))
        await observer.compact(now)

    try:
        for _ in range(2):
            await load(150)
            await etcd.restart()
            await load(50)
            await learn_and_compact()
            await load(100)
            await apiserver.restart()
            await load(50)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        await learn_and_compact()
        for watcher in watchers:
            await check(watcher, truth)
    finally:
        for task in (*tasks, *writers):
            task.cancel()
        await asyncio.gather(*tasks, *writers, return_exceptions=True)
        await observer.close()


async def check(watcher: Watcher, truth: list[Revision]) -> None:
    events = list(expected(truth, watcher.selector))
    assert len(events) > 20
    assert not watcher.went_back
    final = events[-1][2]
    await eventually(lambda: watcher.reached >= final, timeout=10)
    ends = [*(segment.start for segment in watcher.segments[1:]), final]
    for segment, end in zip(watcher.segments, ends, strict=True):
        assert segment.listed == present_at(events, segment.start)
        after = [event for event in events if segment.start < event[2] <= end]
        # a stretch that ended in a 410 may lack its last events: the next list makes up for them
        assert segment.events == after[: len(segment.events)]
    last = watcher.segments[-1]
    assert last.events == [event for event in events if event[2] > last.start]
