"""Consistent reads, watches and their limits, on a healthy etcd."""

import asyncio

import pytest

from apimachinery import errors
from apimachinery.types import core_v1, meta_v1
from apiserver.storage import Cache, Etcd, EtcdConfig, Lagged, Storage
from apiserver.storage.compaction import Compactor
from apiserver.storage.etcd import requests
from tests.integration.storage.conftest import running

PREFIX = "/registry/core/configmaps/"


def key_of(name: str, namespace: str = "default") -> str:
    return f"{PREFIX}{namespace}/{name}"


def config_map(name: str, **data: str) -> core_v1.ConfigMap:
    return core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name=name, namespace="default"), data=data or None)


@pytest.fixture
async def cache(storage: Storage) -> Cache[core_v1.ConfigMap]:
    cache = storage.cache(PREFIX, core_v1.ConfigMap)
    await cache.wait_current()
    return cache


async def test_a_consistent_read_sees_every_write_that_was_acknowledged(storage: Storage, cache: Cache) -> None:
    async def write_and_read(n: int) -> None:
        made = await storage.create(key_of(f"m{n}"), config_map(f"m{n}"))
        assert await cache.wait_current() >= made.revision
        assert cache.get(key_of(f"m{n}")).data == made.data

    for start in range(0, 200, 20):
        await asyncio.gather(*(write_and_read(n) for n in range(start, start + 20)))


async def test_a_consistent_read_sees_the_writes_of_another_apiserver(config: EtcdConfig, cache: Cache) -> None:
    async with running(config) as other:
        for n in range(50):
            await other.create(key_of(f"m{n}"), config_map(f"m{n}"))
            await cache.wait_current()
            assert cache.get(key_of(f"m{n}")) is not None


async def test_a_consistent_read_never_hangs_on_writes_to_other_keys(storage: Storage, cache: Cache) -> None:
    lease = await storage.etcd.grant_lease(1)
    await storage.etcd.transact([], [requests.put("/registry-meta/short", b"", lease)])
    for n in range(20):
        await storage.meta.put("/registry-meta/x", b"%d" % n)
        await storage.etcd.transact([], [requests.put("someone/else", b"%d" % n)])
        await storage.etcd.transact([], [requests.put("/registry/not/cached/here/x", b"%d" % n)])
        await storage.etcd.transact([], [requests.delete("never there")])
        await storage.etcd.transact([], [requests.put("\udcff", b"a key that is no text")])
        await storage.etcd.transact([requests.absent("never there")], [])
        current = await cache.wait_current(timeout=1)
        assert current == await storage.etcd.revision()
    before = await storage.etcd.revision()
    await storage.etcd.compact(before)
    await cache.wait_current(timeout=1)
    async with asyncio.timeout(5):  # a lease that ends is a revision of its own
        while await storage.meta.get("/registry-meta/short") is not None:
            await cache.wait_current(timeout=1)
    assert await cache.wait_current(timeout=1) > before


async def test_many_askers_share_calls_to_etcd(storage: Storage, cache: Cache) -> None:
    calls = 0
    ask = storage.etcd.revision

    async def counted() -> int:
        nonlocal calls
        calls += 1
        return await ask()

    storage._current._ask = counted
    await asyncio.gather(*(cache.wait_current() for _ in range(500)))
    assert 1 <= calls <= 2


async def test_a_revision_of_the_future_is_waited_for_and_then_refused(storage: Storage, cache: Cache) -> None:
    now = cache.revision
    with pytest.raises(errors.TooLargeResourceVersion, match=f"{now + 100}, current: {now}"):
        await cache.wait_until(now + 100, timeout=0.05)
    with pytest.raises(errors.TooLargeResourceVersion):
        cache.watch(PREFIX, now + 1)
    waiting = asyncio.create_task(cache.wait_until(now + 1))
    await storage.create(key_of("a"), config_map("a"))
    await waiting


async def test_a_watch_replays_and_goes_on_without_a_gap(storage: Storage, cache: Cache) -> None:
    start = cache.revision
    for n in range(5):
        await storage.create(key_of(f"m{n}"), config_map(f"m{n}"))
    await cache.wait_current()
    with cache.watch(PREFIX, start) as watcher:
        for n in range(5, 10):
            await storage.create(key_of(f"m{n}"), config_map(f"m{n}"))
        await cache.wait_current()
        seen = await watcher.next()
    assert [event.key for event in seen] == [key_of(f"m{n}") for n in range(10)]
    assert [event.revision for event in seen] == list(range(start + 1, start + 11))
    assert seen[0].carried("ADDED") is seen[0].new


async def test_the_events_of_one_revision_come_together(storage: Storage, cache: Cache) -> None:
    with cache.watch(PREFIX, cache.revision) as watcher:
        for _ in range(20):
            puts = [requests.put(key_of(f"m{n}"), b'{"metadata":{"name":"m"}}') for n in range(10)]
            outcome = await storage.etcd.transact([], puts)
            seen = await watcher.next(timeout=5)
            assert [event.revision for event in seen] == [outcome.revision] * 10
            assert {cache.get(event.key).revision for event in seen} == {outcome.revision}


async def test_a_deletion_shows_the_last_state_at_its_own_revision(storage: Storage, cache: Cache) -> None:
    made = await storage.create(key_of("a"), config_map("a", x="1"))
    revision = await storage.delete(key_of("a"), made.revision)
    await cache.wait_current()
    with cache.watch(PREFIX, made.revision) as watcher:
        (event,) = await watcher.next()
    assert event.type == "DELETED"
    assert event.gone.object.data == {"x": "1"}
    assert event.gone.object.metadata.resource_version == str(revision)
    assert f'"resourceVersion":"{revision}"'.encode() in event.carried("DELETED").data
    assert made.object.metadata.resource_version == str(made.revision)


async def test_a_bookmark_follows_revisions_that_are_about_other_things(storage: Storage, cache: Cache) -> None:
    with cache.watch(PREFIX, cache.revision) as watcher:
        await storage.meta.put("/registry-meta/x", b"")
        assert await watcher.next(timeout=0.2) == []
        assert watcher.revision == cache.revision == await storage.revision()
        made = await storage.create(key_of("a"), config_map("a"))
        await cache.wait_current()
        assert watcher.revision < made.revision  # not taken yet
        await watcher.next()
        assert watcher.revision >= made.revision


async def test_a_stalled_watcher_ends_and_the_others_miss_nothing(storage: Storage, cache: Cache) -> None:
    start = cache.revision
    with cache.watch(PREFIX, start, limit=20) as stalled, cache.watch(PREFIX, start, limit=20) as fast:
        seen = 0
        for n in range(60):
            await storage.create(key_of(f"m{n}"), config_map(f"m{n}"))
            seen += len(await fast.next(timeout=5))
        assert seen == 60
        with pytest.raises(Lagged):
            await stalled.next()
        with pytest.raises(errors.Expired):  # and it stays so
            await stalled.next()
    with cache.watch(PREFIX, start) as again:
        assert len(await again.next()) == 60


async def test_a_cache_that_is_added_later_is_complete(config: EtcdConfig, storage: Storage, cache: Cache) -> None:
    prefix = "/registry/core/secrets/"

    async def write() -> None:
        for n in range(300):
            made = await storage.create(f"{prefix}default/s{n:03}", core_v1.Secret())
            if n % 3 == 0:
                await storage.delete(f"{prefix}default/s{n:03}", made.revision)

    writer = asyncio.create_task(write())
    await asyncio.sleep(0)
    late = [storage.cache(prefix, core_v1.Secret)]
    assert storage.cache(prefix, core_v1.Secret) is late[0]
    await late[0].wait_current()
    with late[0].watch(prefix, late[0].revision) as watcher:
        held = {item.key: item.revision for item in late[0].items()[0]}
        await writer
        await late[0].wait_current()
        for event in await watcher.next(timeout=1):
            if event.new is None:
                del held[event.key]
            else:
                held[event.key] = event.revision
    listed = await storage.list_at(prefix, core_v1.Secret)
    assert held == {item.key: item.revision for item in listed.items}
    assert [item.data for item in late[0].items()[0]] == [item.data for item in listed.items]


async def test_a_dropped_cache_ends_its_watchers(storage: Storage, cache: Cache) -> None:
    with cache.watch(PREFIX, cache.revision) as watcher:
        storage.drop_cache(PREFIX)
        with pytest.raises(errors.Expired):
            await watcher.next()


async def test_lists_come_in_etcds_order_and_continue_each_other(storage: Storage, cache: Cache) -> None:
    for name in ("b", "a-1", "a", "a.b", "A", "z"):
        await storage.create(key_of(name), config_map(name))
        await storage.create(key_of(name, "default-2"), config_map(name))
    await cache.wait_current()
    listed = await storage.list_at(PREFIX, core_v1.ConfigMap)
    assert [item.key for item in cache.items()[0]] == [item.key for item in listed.items]
    first, remaining = cache.items(f"{PREFIX}default/", limit=4)
    assert remaining == 2
    rest = await storage.list_at(
        f"{PREFIX}default/", core_v1.ConfigMap, revision=cache.revision, start_key=first[-1].key + "\0"
    )
    assert [item.key for item in first + rest.items] == [item.key for item in cache.items(f"{PREFIX}default/")[0]]


async def test_one_of_two_apiservers_compacts_to_where_etcd_was_an_interval_ago(
    storage: Storage, config: EtcdConfig
) -> None:
    other_client = Etcd(config)
    one, two = Compactor(storage.etcd), Compactor(other_client)
    first = await storage.create(key_of("a"), config_map("a"))
    assert [await one.compact(), await two.compact()] == [False, False]  # they only note where etcd is
    second = await storage.update(key_of("a"), config_map("a", x="1"), first.revision)
    assert [await one.compact(), await two.compact()].count(True) == 1
    with pytest.raises(errors.Expired):
        await storage.list_at(PREFIX, core_v1.ConfigMap, revision=first.revision - 1)
    assert len((await storage.list_at(PREFIX, core_v1.ConfigMap, revision=second.revision)).items) == 1
    results = await asyncio.gather(one.compact(), two.compact())
    assert results.count(True) == 1
    await other_client.close()
