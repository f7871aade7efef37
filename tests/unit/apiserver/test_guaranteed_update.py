"""The compare-and-set loop of all writes: what it begins with, when it tries again, when a refusal counts."""

import asyncio
from typing import Any, cast

import pytest

from apimachinery import codec, errors
from apimachinery.meta import Key
from apimachinery.types.core_v1 import ConfigMap
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.registry.core.configmaps import CONFIG_MAPS
from apiserver.registry.store import Store
from apiserver.request import Attributes, User
from apiserver.storage import StorageConflict, Stored

KEY = Key("default", "a")
UPDATE = Attributes(User("me"), "update", "", resource="configmaps", namespace="default", name="a")


def at(revision: int) -> Stored[ConfigMap]:
    obj = ConfigMap(metadata=ObjectMeta(name="a", namespace="default", resource_version=str(revision)))
    return Stored(CONFIG_MAPS.storage_key(KEY), obj, codec.encode(obj), revision)


class Storage:
    """One object, of which the cache may be behind."""

    is_loaded = True

    def __init__(self, cached: Stored[ConfigMap] | None, current: Stored[ConfigMap] | None) -> None:
        self.cached, self.current, self.reads = cached, current, 0

    def cache(self, prefix: str, cls: type[ConfigMap]) -> "_Cache":
        return _Cache(self.cached)

    async def get(self, path: str, cls: type[ConfigMap]) -> Stored[ConfigMap] | None:
        self.reads += 1
        return self.current


class _Cache:
    is_loaded = True

    def __init__(self, stored: Stored[ConfigMap] | None) -> None:
        self._stored = stored

    def get(self, path: str) -> Stored[ConfigMap] | None:
        return self._stored


def store_of(storage: Storage) -> Store[ConfigMap]:
    return Store(CONFIG_MAPS, cast(Any, storage), cast(Any, None))


async def test_a_write_begins_with_the_cache_and_reads_nothing() -> None:
    storage = Storage(cached=at(3), current=at(3))

    async def attempt(current: Stored[ConfigMap] | None) -> int:
        return current.revision if current else 0

    assert await store_of(storage).guaranteed_update(UPDATE, KEY, attempt) == 3
    assert storage.reads == 0


async def test_after_a_conflict_the_change_is_made_on_what_came_between() -> None:
    tried: list[int] = []

    async def attempt(current: Stored[ConfigMap] | None) -> str:
        assert current is not None
        tried.append(current.revision)
        if len(tried) < 3:
            raise StorageConflict(current.key, at(current.revision + 1))
        return "written"

    assert await store_of(Storage(at(3), at(3))).guaranteed_update(UPDATE, KEY, attempt) == "written"
    assert tried == [3, 4, 5]


@pytest.mark.parametrize(("current", "expected"), [(at(3), [3]), (at(5), [3, 5]), (None, [3, 0])])
async def test_a_refusal_counts_only_if_it_was_made_from_the_current_object(
    current: Stored[ConfigMap] | None, expected: list[int]
) -> None:
    tried: list[int] = []

    async def attempt(current: Stored[ConfigMap] | None) -> None:
        tried.append(current.revision if current else 0)
        raise errors.BadRequest("no")

    with pytest.raises(errors.BadRequest):
        await store_of(Storage(at(3), current)).guaranteed_update(UPDATE, KEY, attempt)
    assert tried == expected


async def test_writers_of_one_object_take_turns_in_the_order_in_which_they_came() -> None:
    store, log = store_of(Storage(at(3), at(3))), list[str]()

    async def write(name: str) -> None:
        async def attempt(current: Stored[ConfigMap] | None) -> None:
            log.append(f"{name} begins")
            await asyncio.sleep(0)
            log.append(f"{name} ends")

        await store.guaranteed_update(UPDATE, KEY, attempt)

    writers = [asyncio.create_task(write(name)) for name in "abcd"]
    await asyncio.sleep(0)
    writers[1].cancel()  # whose client has gone
    await asyncio.wait(writers)
    assert log == [f"{name} {what}" for name in "acd" for what in ("begins", "ends")]


async def test_a_turn_that_does_not_come_is_given_up_in_time() -> None:
    store, written = store_of(Storage(at(3), at(3))), asyncio.Event()
    store.patience = 0.01

    async def attempt(current: Stored[ConfigMap] | None) -> None:
        await written.wait()

    first = asyncio.create_task(store.guaranteed_update(UPDATE, KEY, attempt))
    await asyncio.sleep(0)
    with pytest.raises(errors.Timeout):
        await store.guaranteed_update(UPDATE, KEY, attempt)
    written.set()
    await first
    await store.guaranteed_update(UPDATE, KEY, attempt)


async def test_an_object_that_always_moves_is_tried_again_until_time_is_up() -> None:
    async def attempt(current: Stored[ConfigMap] | None) -> None:
        assert current is not None
        raise StorageConflict(current.key, at(current.revision + 1))

    store = store_of(Storage(at(3), at(3)))
    store.patience = 0.05
    with pytest.raises(errors.Timeout):
        await store.guaranteed_update(UPDATE, KEY, attempt)


async def test_an_etcd_that_does_not_answer_is_not_asked_again() -> None:
    storage = Storage(cached=at(3), current=at(3))

    async def attempt(current: Stored[ConfigMap] | None) -> None:
        raise errors.ServiceUnavailable("etcd cannot be reached")

    with pytest.raises(errors.ServiceUnavailable):
        await store_of(storage).guaranteed_update(UPDATE, KEY, attempt)
    assert storage.reads == 0
