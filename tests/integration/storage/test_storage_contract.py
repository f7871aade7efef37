"""Writes, reads and claims against a real etcd."""

import asyncio
from contextlib import aclosing

import pytest

from apimachinery import codec, errors
from apimachinery.types import core_v1, meta_v1
from apiserver.storage import AlreadyExists, Cache, ClaimTaken, Storage, StorageConflict
from apiserver.storage.etcd import requests

PREFIX = "/registry/core/configmaps/"
IP = "/registry-meta/ips/10.0.0.7"


def key_of(name: str, namespace: str = "default") -> str:
    return f"{PREFIX}{namespace}/{name}"


def config_map(name: str, *, uid: str = "", **data: str) -> core_v1.ConfigMap:
    return core_v1.ConfigMap(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default", uid=uid or f"uid-{name}"), data=data or None
    )


@pytest.fixture
async def cache(storage: Storage) -> Cache[core_v1.ConfigMap]:
    return storage.cache(PREFIX, core_v1.ConfigMap)


async def test_what_a_write_returns_is_what_etcd_and_the_cache_have(storage: Storage, cache: Cache) -> None:
    written = await storage.create(key_of("a"), config_map("a", x="1"))
    await cache.wait_current()
    held, read = cache.get(key_of("a")), await storage.get(key_of("a"), core_v1.ConfigMap)
    assert held is not None
    assert read is not None
    assert written.data == held.data == read.data
    assert written.revision == held.revision == read.revision
    assert written.object == held.object == codec.decode(written.data, core_v1.ConfigMap)
    assert written.object.metadata.resource_version == str(written.revision)


async def test_etcd_holds_no_resource_version_and_the_callers_object_is_left_as_it_was(storage: Storage) -> None:
    obj = config_map("a")
    obj.metadata.resource_version = "7"
    await storage.create(key_of("a"), obj)
    stored = await storage.etcd.get(key_of("a"))
    assert stored is not None
    assert b"resourceVersion" not in stored.value
    assert obj.metadata.resource_version == "7"


async def test_a_key_is_created_once(storage: Storage) -> None:
    await storage.create(key_of("a"), config_map("a"))
    with pytest.raises(AlreadyExists):
        await storage.create(key_of("a"), config_map("a"))


async def test_an_update_needs_the_current_revision(storage: Storage) -> None:
    first = await storage.create(key_of("a"), config_map("a"))
    second = await storage.update(key_of("a"), config_map("a", x="1"), first.revision)
    with pytest.raises(StorageConflict) as conflict:
        await storage.update(key_of("a"), config_map("a", x="2"), first.revision)
    assert conflict.value.current is not None
    assert conflict.value.current.data == second.data


async def test_an_update_of_nothing_is_a_conflict_without_a_current_object(storage: Storage) -> None:
    with pytest.raises(StorageConflict) as conflict:
        await storage.update(key_of("a"), config_map("a"), 5)
    assert conflict.value.current is None


async def test_a_delete_needs_the_current_revision(storage: Storage, cache: Cache) -> None:
    first = await storage.create(key_of("a"), config_map("a"))
    second = await storage.update(key_of("a"), config_map("a", x="1"), first.revision)
    with pytest.raises(StorageConflict) as conflict:
        await storage.delete(key_of("a"), first.revision)
    assert conflict.value.current is not None
    assert conflict.value.current.revision == second.revision
    assert await storage.delete(key_of("a"), second.revision) > second.revision
    with pytest.raises(StorageConflict):
        await storage.delete(key_of("a"), second.revision)


async def test_one_of_fifty_concurrent_creations_gets_a_claim(storage: Storage) -> None:
    tries = [
        storage.create(key_of(f"m{n}"), config_map(f"m{n}"), claims=[f"/registry-meta/ports/{n}", IP])
        for n in range(50)
    ]
    results = await asyncio.gather(*tries, return_exceptions=True)
    winners = [result for result in results if not isinstance(result, BaseException)]
    losers = [result for result in results if isinstance(result, ClaimTaken)]
    assert (len(winners), len(losers)) == (1, 49)
    assert {loser.claim for loser in losers} == {IP}
    claims = await storage.meta.list("/registry-meta/")
    assert claims[IP].owner == winners[0].object.metadata.uid
    assert len(claims) == 2  # nobody who lost has kept the other claim


async def test_a_claim_goes_with_its_owner_and_can_be_taken_again(storage: Storage) -> None:
    first = await storage.create(key_of("a"), config_map("a"), claims=[IP])
    await storage.delete(key_of("a"), first.revision, releases=[IP], owner="uid-a")
    assert await storage.meta.get(IP) is None
    await storage.create(key_of("b"), config_map("b"), claims=[IP])
    claim = await storage.meta.get(IP)
    assert claim is not None
    assert claim.owner == "uid-b"


async def test_a_claim_of_someone_else_is_not_released(storage: Storage) -> None:
    await storage.create(key_of("a"), config_map("a"), claims=[IP])
    other = await storage.create(key_of("b"), config_map("b"))
    other = await storage.update(key_of("b"), config_map("b"), other.revision, releases=[IP])
    await storage.delete(key_of("b"), other.revision, releases=[IP], owner="uid-b")
    claim = await storage.meta.get(IP)
    assert claim is not None
    assert claim.owner == "uid-a"


async def test_an_update_takes_and_releases_claims_with_the_object(storage: Storage) -> None:
    other = IP + "0"
    first = await storage.create(key_of("a"), config_map("a"), claims=[IP])
    await storage.update(key_of("a"), config_map("a"), first.revision, claims=[other], releases=[IP])
    assert set(await storage.meta.list("/registry-meta/ips/")) == {other}


async def test_an_update_that_loses_a_claim_changes_nothing(storage: Storage) -> None:
    await storage.create(key_of("a"), config_map("a"), claims=[IP])
    second = await storage.create(key_of("b"), config_map("b"))
    with pytest.raises(ClaimTaken) as taken:
        await storage.update(key_of("b"), config_map("b", x="1"), second.revision, claims=[IP])
    assert taken.value.claim == IP
    current = await storage.get(key_of("b"), core_v1.ConfigMap)
    assert current is not None
    assert current.revision == second.revision


async def test_a_plain_value_is_written_by_compare_and_set(storage: Storage) -> None:
    key = "/registry-meta/lock"
    revision = await storage.meta.put(key, b"1", expected_revision=0)
    with pytest.raises(StorageConflict):
        await storage.meta.put(key, b"2", expected_revision=0)
    with pytest.raises(StorageConflict):
        await storage.meta.delete(key, expected_revision=revision - 1)
    await storage.meta.delete(key, expected_revision=revision)
    assert await storage.meta.get(key) is None
    with pytest.raises(ValueError, match="not under"):
        await storage.meta.put("/registry/core/pods/a/b", b"")


async def test_an_object_over_etcds_limit_is_refused_as_too_large(storage: Storage) -> None:
    with pytest.raises(errors.RequestEntityTooLarge):
        await storage.create(key_of("a"), config_map("a", x="x" * (9 << 20)))
    assert await storage.get(key_of("a"), core_v1.ConfigMap) is None


async def test_large_objects_can_be_listed_and_watched(storage: Storage, cache: Cache) -> None:
    await cache.wait_current()
    for n in range(6):
        await storage.create(key_of(f"m{n}"), config_map(f"m{n}", x="x" * (2 << 20)))
    await cache.wait_current()
    assert len(cache) == 6
    assert len((await storage.list_at(PREFIX, core_v1.ConfigMap)).items) == 6


async def test_a_revision_that_etcd_splits_over_messages_arrives_whole(storage: Storage) -> None:
    """Etcd splits what is over its request limit, here 8 MiB, wherever that falls."""
    start = await storage.etcd.revision() + 1
    for _ in range(6):
        await storage.etcd.transact([], [requests.put(f"large/{n}", b"x" * (1 << 20)) for n in range(3)])
    seen = []
    async with asyncio.timeout(10), aclosing(storage.etcd.watch(start)) as stream:
        async for revision in stream:
            seen.append((revision.number, [change.key for change in revision.changes]))
            if revision.number == start + 5:
                break
    assert seen == [(start + n, ["large/0", "large/1", "large/2"]) for n in range(6)]


async def test_an_unreadable_value_does_not_take_the_others_away(storage: Storage, cache: Cache) -> None:
    await cache.wait_current()
    await storage.etcd.transact([], [requests.put(key_of("bad"), b"not json")])
    await storage.create(key_of("good"), config_map("good"))
    await cache.wait_current()
    assert cache.get(key_of("bad")) is None
    assert cache.get(key_of("good")) is not None


async def test_an_old_revision_is_read_page_by_page(storage: Storage) -> None:
    for n in range(5):
        last = await storage.create(key_of(f"m{n}"), config_map(f"m{n}"))
    first = await storage.list_at(PREFIX, core_v1.ConfigMap, limit=2)
    assert (first.revision, first.remaining) == (last.revision, 3)
    await storage.update(key_of("m4"), config_map("m4", x="new"), last.revision)
    names, page = [], first
    while True:
        names += [item.object.metadata.name for item in page.items]
        assert all(item.object.data is None for item in page.items)
        if not page.next_key:
            break
        page = await storage.list_at(
            PREFIX, core_v1.ConfigMap, revision=first.revision, limit=2, start_key=page.next_key
        )
        assert page.revision == first.revision
    assert names == [f"m{n}" for n in range(5)]


async def test_a_long_list_is_read_at_one_revision(storage: Storage) -> None:
    puts = [requests.put(key_of(f"m{n:04}"), b'{"metadata":{"name":"m"}}') for n in range(1100)]
    for start in range(0, 1100, 100):
        last = await storage.etcd.transact([], puts[start : start + 100])
    page = await storage.list_at(PREFIX, core_v1.ConfigMap)
    assert (len(page.items), page.revision, page.remaining) == (1100, last.revision, 0)
    keys = []
    async for part in storage.etcd.pages(PREFIX):
        keys += [item.key for item in part.items]
        await storage.create(key_of(f"z{len(keys)}"), config_map("z"))  # after the list began
        await storage.etcd.transact([], [requests.delete(key_of("m1099"))])
    assert keys == [item.key for item in page.items]


async def test_reading_a_compacted_revision_is_expired(storage: Storage) -> None:
    first = await storage.create(key_of("a"), config_map("a"))
    second = await storage.update(key_of("a"), config_map("a", x="1"), first.revision)
    await storage.etcd.compact(second.revision)
    with pytest.raises(errors.Expired):
        await storage.list_at(PREFIX, core_v1.ConfigMap, revision=first.revision)


async def test_an_object_with_a_time_to_live_vanishes_for_watchers_too(storage: Storage, cache: Cache) -> None:
    await cache.wait_current()
    lease = await storage.etcd.grant_lease(1)  # what ttl= does, without the minute that it adds
    value = b'{"metadata":{"name":"a","namespace":"default"}}'
    put = await storage.etcd.transact([], [requests.put(key_of("a"), value, lease)])
    with cache.watch(PREFIX, put.revision - 1) as watcher:
        seen = []
        while len(seen) < 2:
            seen += await watcher.next(timeout=10)
    assert [event.type for event in seen] == ["ADDED", "DELETED"]
    assert cache.get(key_of("a")) is None


async def test_objects_that_end_in_the_same_minute_share_a_lease(storage: Storage) -> None:
    for n in range(5):
        await storage.create(key_of(f"m{n}"), config_map(f"m{n}"), ttl=3600)
    leases = {await lease_of(storage, key_of(f"m{n}")) for n in range(5)}
    assert 0 not in leases
    assert len(leases) <= 2  # two if a minute has just ended


async def test_a_lost_lease_is_replaced(storage: Storage) -> None:
    from aetcd.rpc import rpc_pb2

    await storage.create(key_of("a"), config_map("a"), ttl=3600)
    lease = await lease_of(storage, key_of("a"))
    endpoint = await storage.etcd._endpoints.connected(storage.etcd._deadline())
    await endpoint.lease.LeaseRevoke(rpc_pb2.LeaseRevokeRequest(ID=lease))
    assert await storage.get(key_of("a"), core_v1.ConfigMap) is None
    await storage.create(key_of("a"), config_map("a"), ttl=3600)
    assert await lease_of(storage, key_of("a")) not in (0, lease)


async def lease_of(storage: Storage, key: str) -> int:
    from aetcd.rpc import rpc_pb2

    endpoint = await storage.etcd._endpoints.connected(storage.etcd._deadline())
    response = await endpoint.kv.Range(rpc_pb2.RangeRequest(key=key.encode()))
    return int(response.kvs[0].lease)


async def test_health_follows_etcd(storage: Storage) -> None:
    await storage.check()
    status = await storage.etcd.status()
    assert status.version.startswith("3.")
    assert status.errors == []
