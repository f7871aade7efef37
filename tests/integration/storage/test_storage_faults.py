"""The caches and their watchers while etcd and the way to it fail."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from apimachinery import errors
from apimachinery.types import core_v1, meta_v1
from apiserver.storage import Cache, Etcd, EtcdConfig, Storage
from apiserver.storage.etcd import Revision, requests
from apiserver.storage.etcd.errors import EtcdError
from tests.integration.conftest import EtcdServer
from tests.integration.history import history
from tests.integration.storage.conftest import running
from tests.integration.storage.wire import wire_to
from tests.support import eventually

PREFIX = "/registry/core/configmaps/"


def key_of(name: str) -> str:
    return f"{PREFIX}default/{name}"


def config_map(name: str, **data: str) -> core_v1.ConfigMap:
    return core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name=name, namespace="default"), data=data or None)


def names(cache: Cache[core_v1.ConfigMap]) -> set[str]:
    return {item.object.metadata.name or "" for item in cache.items()[0]}


class Watcher:
    """Takes every event from one revision on, resuming where it was as a client does; notes each 410."""

    def __init__(self, cache: Cache[core_v1.ConfigMap], since: int, prefix: str = PREFIX) -> None:
        self._cache, self.prefix = cache, prefix
        self.reached = since
        self.seen: list[tuple[str, str, int]] = []
        self.expired = 0

    async def run(self) -> None:
        while True:
            with suppress(errors.Expired), self._cache.watch(self.prefix, self.reached) as subscription:
                while True:
                    for event in await subscription.next():
                        self.seen.append((event.type, event.key, event.revision))
                        self.reached = event.revision
            self.expired += 1
            self.reached = self._cache.revision


@contextmanager
def following(*watchers: Watcher) -> Iterator[None]:
    tasks = [asyncio.create_task(watcher.run()) for watcher in watchers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def as_events(history: list[Revision], prefix: str) -> list[tuple[str, str, int]]:
    existing: set[str] = set()
    changes = []
    for revision in history:
        for change in revision.changes:
            if change.value is None:
                kind = "DELETED"
                existing.discard(change.key)
            else:
                kind = "MODIFIED" if change.key in existing else "ADDED"
                existing.add(change.key)
            if change.key.startswith(prefix):
                changes.append((kind, change.key, revision.number))
    return changes


async def write_for_ever(storage: Storage, worker: int, acknowledged: list[tuple[str, int]]) -> None:
    """Creates, updates and deletes, among them writes that concern no cache."""
    n = 0
    while True:
        n += 1
        key = key_of(f"w{worker}-{n % 7}")
        try:
            current = await storage.get(key, core_v1.ConfigMap)
            if current is None:
                made = await storage.create(key, config_map(key), claims=[f"/registry-meta/x/{worker}-{n}"])
                acknowledged.append((key, made.revision))
            elif n % 3:
                made = await storage.update(key, config_map(key, n=str(n)), current.revision)
                acknowledged.append((key, made.revision))
            else:
                acknowledged.append((key, await storage.delete(key, current.revision)))
        except errors.ApiError:
            await asyncio.sleep(0.01)


async def test_watchers_see_exactly_etcds_history_through_kills_and_compactions(
    etcd: EtcdServer, storage: Storage, config: EtcdConfig
) -> None:
    cache = storage.cache(PREFIX, core_v1.ConfigMap)
    await storage.wait_ready()
    start = await cache.wait_current()
    watchers = [Watcher(cache, start) for _ in range(18)]
    watchers += [Watcher(cache, start, key_of("w1-3")), Watcher(cache, start, f"{PREFIX}default/")]
    acknowledged: list[tuple[str, int]] = []
    truth: list[Revision] = []
    observer = Etcd(config)
    writers = [asyncio.create_task(write_for_ever(storage, n, acknowledged)) for n in range(4)]
    try:
        with following(*watchers):
            for _ in range(4):
                target = len(acknowledged) + 150
                await eventually(lambda target=target: len(acknowledged) >= target, timeout=30)
                await etcd.restart()  # SIGKILL
                now = await observer.revision()
                truth += await history(observer, (truth[-1].number if truth else start) + 1, now)
                await cache.wait_until(now, timeout=5)  # a compaction that overtakes the watch: see below
                await observer.compact(now)
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
            end = await observer.revision()
            truth += await history(observer, truth[-1].number + 1, end)
            await cache.wait_until(end)
            for watcher in watchers:
                expected = as_events(truth, watcher.prefix)
                assert len(expected) > 10
                await eventually(lambda w=watcher, expected=expected: len(w.seen) >= len(expected))
                # a write that was sent when its writer was cancelled may have come after the end
                assert watcher.seen[: len(expected)] == expected
                assert watcher.expired == 0
    finally:
        for writer in writers:
            writer.cancel()
        await observer.close()
    assert set(acknowledged) <= {(key, revision) for _, key, revision in as_events(truth, PREFIX)}
    listed = await storage.list_at(PREFIX, core_v1.ConfigMap)
    assert [item.data for item in listed.items] == [item.data for item in cache.items()[0]]


@pytest.mark.parametrize("outage", [0.0, 3.0])
async def test_the_watch_goes_on_within_a_second_of_etcds_return(
    etcd: EtcdServer, storage: Storage, config: EtcdConfig, outage: float
) -> None:
    cache = storage.cache(PREFIX, core_v1.ConfigMap)
    await storage.wait_ready()
    watcher = Watcher(cache, await cache.wait_current())
    with following(watcher):
        etcd.kill()
        await asyncio.sleep(outage)  # the longer, the longer a client backs off by default
        await etcd.start()
        observer = Etcd(config)
        made = await observer.transact([], [requests.put(key_of("a"), b'{"metadata":{"name":"a"}}')])
        await eventually(lambda: watcher.reached == made.revision, timeout=1)
        await observer.close()
    assert watcher.expired == 0


async def test_calls_fail_in_bounded_time_while_etcd_is_down_and_caches_still_serve(
    etcd: EtcdServer, storage: Storage
) -> None:
    cache = storage.cache(PREFIX, core_v1.ConfigMap)
    await storage.create(key_of("a"), config_map("a"))
    await cache.wait_current()
    etcd.kill()
    async with asyncio.timeout(5):
        results = await asyncio.gather(
            storage.create(key_of("b"), config_map("b")),
            storage.get(key_of("a"), core_v1.ConfigMap),
            storage.delete(key_of("a"), 2),
            cache.wait_current(),
            storage.check(),
            return_exceptions=True,
        )
    # The write that finds the connection gone cannot know whether etcd had it.
    assert {type(result) for result in results} <= {errors.ServiceUnavailable, errors.Timeout}
    assert errors.ServiceUnavailable in {type(result) for result in results}
    with pytest.raises(errors.ServiceUnavailable):
        await storage.create(key_of("b"), config_map("b"))
    await cache.wait_until(0)
    assert names(cache) == {"a"}
    await etcd.start()
    await storage.create(key_of("b"), config_map("b"))


async def test_what_etcd_says_of_a_failed_write_is_in_the_log_and_nowhere_else(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(3):
        with pytest.raises(errors.RequestEntityTooLarge) as refused:
            await storage.create(key_of("large"), config_map("large", a=str(n) * 8_500_000))
    said = "etcdserver: request is too large"
    assert said not in str(refused.value)
    lines = [record.getMessage() for record in caplog.records if said in record.getMessage()]
    assert len(lines) == 1  # the same is not repeated with each request
    assert lines[0].startswith("etcd: ")


async def test_a_write_without_an_answer_says_that_its_outcome_is_unknown(etcd: EtcdServer, storage: Storage) -> None:
    first = await storage.create(key_of("a"), config_map("a"))
    etcd.pause()
    try:
        with pytest.raises(errors.Timeout, match="unknown"):
            await storage.update(key_of("a"), config_map("a", x="1"), first.revision)
    finally:
        etcd.resume()
    current = await eventually(lambda: storage.get(key_of("a"), core_v1.ConfigMap))
    assert current.object.data in (None, {"x": "1"})


async def test_compaction_behind_the_feeds_back_ends_watchers_and_mends_the_cache(
    etcd: EtcdServer, config: EtcdConfig
) -> None:
    observer = Etcd(config)
    async with wire_to(etcd.url) as wire, running(replace(config, endpoints=(wire.url,))) as storage:
        cache = storage.cache(PREFIX, core_v1.ConfigMap)
        gone = await storage.create(key_of("gone"), config_map("gone"))
        await storage.create(key_of("stays"), config_map("stays"))
        start = await cache.wait_current()
        with cache.watch(PREFIX, start) as subscription:
            await wire.cut()
            await observer.transact([], [requests.delete(key_of("gone"))])
            await observer.transact([], [requests.put(key_of("new"), b'{"metadata":{"name":"new"}}')])
            now = await observer.revision()
            await observer.compact(now)
            await wire.open()
            with pytest.raises(errors.Expired):
                await subscription.next(timeout=10)
        await cache.wait_current()
        assert names(cache) == {"stays", "new"}
        with pytest.raises(errors.Expired):
            cache.watch(PREFIX, gone.revision)
        cache.watch(PREFIX, now).close()
    await observer.close()


async def test_a_deletion_at_the_compacted_revision_is_not_missed(etcd: EtcdServer, config: EtcdConfig) -> None:
    observer = Etcd(config)
    async with wire_to(etcd.url) as wire, running(replace(config, endpoints=(wire.url,))) as storage:
        cache = storage.cache(PREFIX, core_v1.ConfigMap)
        await storage.create(key_of("gone"), config_map("gone"))
        await cache.wait_current()
        await wire.cut()
        deleted = await observer.transact([], [requests.delete(key_of("gone"))])
        await observer.compact(deleted.revision)
        await wire.open()
        await cache.wait_current(timeout=10)
        assert names(cache) == set()
    await observer.close()


async def test_a_connection_that_dies_silently_is_found(tmp_path: Path) -> None:
    server = EtcdServer(tmp_path, "--grpc-keepalive-min-time=100ms")
    try:
        await server.start()
        async with wire_to(server.url) as wire:
            config = EtcdConfig((wire.url,), request_timeout=2, keepalive_time=0.5, keepalive_timeout=0.5)
            async with running(config) as storage:
                cache = storage.cache(PREFIX, core_v1.ConfigMap)
                watcher = Watcher(cache, await cache.wait_current())
                observer = Etcd(EtcdConfig((server.url,)))
                with following(watcher):
                    wire.freeze()
                    await observer.transact([], [requests.put(key_of("a"), b'{"metadata":{"name":"a"}}')])
                    await eventually(lambda: watcher.seen, timeout=10)
                assert watcher.expired == 0
                await observer.close()
    finally:
        server.kill()


async def test_replaced_data_are_noticed(etcd: EtcdServer, storage: Storage) -> None:
    cache = storage.cache(PREFIX, core_v1.ConfigMap)
    for n in range(5):
        await storage.create(key_of(f"m{n}"), config_map(f"m{n}"))
    start = await cache.wait_current()
    with cache.watch(PREFIX, start) as subscription:
        etcd.kill()
        shutil.rmtree(etcd.data)
        await etcd.start()
        with pytest.raises(errors.Expired):
            await subscription.next(timeout=10)
    made = await storage.create(key_of("new"), config_map("new"))
    await cache.wait_current()
    assert (names(cache), cache.revision) == ({"new"}, made.revision)


class FaultyEtcd(Etcd):
    """A real etcd whose watch loses something once, as etcd's own bugs did."""

    def __init__(self, config: EtcdConfig) -> None:
        super().__init__(config)
        self.fault = ""

    async def watch(self, start: int) -> AsyncIterator[Revision]:
        async for revision in super().watch(start):
            fault, self.fault = self.fault, ""
            if fault == "silence":
                await asyncio.Event().wait()
            if fault != "loss":
                yield revision


@pytest.mark.parametrize(("fault", "ends"), [("loss", 1), ("silence", 0)])
async def test_a_watch_that_loses_a_revision_or_falls_silent_is_mended(
    etcd: EtcdServer, config: EtcdConfig, fault: str, ends: int
) -> None:
    client = FaultyEtcd(config)
    storage = Storage(client, compaction_interval=0, watch_patience=0.3)
    runner = asyncio.create_task(storage.run())
    cache = storage.cache(PREFIX, core_v1.ConfigMap)
    try:
        watcher = Watcher(cache, await cache.wait_current())
        with following(watcher):
            client.fault = fault
            await storage.create(key_of("a"), config_map("a"))
            if fault == "loss":  # seen as soon as anything follows
                await storage.create(key_of("b"), config_map("b"))
            await cache.wait_current(timeout=5)
            listed = await storage.list_at(PREFIX, core_v1.ConfigMap)
            assert [item.data for item in cache.items()[0]] == [item.data for item in listed.items]
            assert watcher.expired == ends or await eventually(lambda: watcher.expired == ends)
    finally:
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)
        await client.close()


async def test_another_endpoint_serves_when_one_is_lost(etcd: EtcdServer, config: EtcdConfig) -> None:
    async with (
        wire_to(etcd.url) as one,
        wire_to(etcd.url) as two,
        running(replace(config, endpoints=(one.url, two.url))) as storage,
    ):
        cache = storage.cache(PREFIX, core_v1.ConfigMap)
        watcher = Watcher(cache, await cache.wait_current())
        with following(watcher):
            for n, wire in enumerate((one, two)):
                await wire.cut()
                with suppress(errors.Timeout):  # the write that finds out
                    await storage.create(key_of(f"lost{n}"), config_map("m"))
                made = await storage.create(key_of(f"m{n}"), config_map("m"))
                assert await cache.wait_current() >= made.revision
                await eventually(lambda made=made: watcher.reached >= made.revision)
                await wire.open()
        assert watcher.expired == 0


async def test_no_endpoint_at_all_is_said_by_name(config: EtcdConfig, etcd: EtcdServer) -> None:
    etcd.kill()
    client = Etcd(replace(config, request_timeout=0.5))
    with pytest.raises(EtcdError, match=etcd.url):
        await client.revision()
    await client.close()


async def test_without_etcd_every_call_ends_at_the_same_deadline(storage: Storage, etcd: EtcdServer) -> None:
    made = await storage.create(key_of("a"), config_map("a"))
    etcd.kill()
    loop, took = asyncio.get_running_loop(), dict[str, float]()

    async def timed(name: str, delay: float, call: Callable[[], Awaitable[object]]) -> None:
        await asyncio.sleep(delay)  # also those that come while others wait already
        started = loop.time()
        with pytest.raises((errors.ServiceUnavailable, errors.Timeout)):
            await call()
        took[name] = loop.time() - started

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "revision": storage.revision,
        "get": lambda: storage.get(made.key, core_v1.ConfigMap),
        "list": lambda: storage.list_at(PREFIX, core_v1.ConfigMap),
        "create": lambda: storage.create(key_of("b"), config_map("b")),
        "create with a lease": lambda: storage.create(key_of("c"), config_map("c"), ttl=60),
        "update": lambda: storage.update(made.key, config_map("a"), made.revision),
        "delete": lambda: storage.delete(made.key, made.revision),
    }
    async with asyncio.TaskGroup() as tasks:
        for name, call in calls.items():
            for delay in (0.0, 0.5, 1.0):
                tasks.create_task(timed(f"{name} after {delay}", delay, call))
    assert {name for name, seconds in took.items() if seconds > 3.5} == set()  # the fixture's deadline is 3 s
