"""What is derived from a cache: never behind it, whole before it counts, and made anew when the cache is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from apimachinery.types import core_v1, meta_v1
from apiserver.storage import Cache, follower
from apiserver.storage.etcd import Change
from apiserver.storage.follower import Follower
from apiserver.storage.objects import Stored, from_value, to_value
from apiserver.storage.progress import Progress
from tests.support import eventually

PREFIX = "/registry/core/pods/"


class Names:
    """The names of all pods."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}

    def clear(self) -> None:
        self.keys.clear()

    def put(self, key: str, obj: core_v1.Pod) -> None:
        self.keys[key] = obj.metadata.name or ""

    def drop(self, key: str) -> None:
        del self.keys[key]


def value(name: str) -> bytes:
    return to_value(core_v1.Pod(metadata=meta_v1.ObjectMeta(name=name)))


def stored(*names: str) -> list[Stored[core_v1.Pod]]:
    return [from_value(f"{PREFIX}a/{name}", value(name), 1, core_v1.Pod) for name in names]


def cache_of_pods() -> Cache[core_v1.Pod]:
    async def current() -> int:
        return 0

    return Cache(PREFIX, core_v1.Pod, Progress(), current)


@asynccontextmanager
async def following(cache: Cache[core_v1.Pod], names: Names) -> AsyncIterator[Follower[core_v1.Pod]]:
    made = Follower(cache, names)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_change_arrives_in_the_turn_in_which_the_cache_has_it() -> None:
    cache, names = cache_of_pods(), Names()
    async with following(cache, names) as follower_of_pods:
        await asyncio.sleep(0)
        assert not follower_of_pods.is_loaded  # as the cache is not either
        cache.replace(stored("x", "y"), 1)
        await eventually(lambda: follower_of_pods.is_loaded)
        assert set(names.keys.values()) == {"x", "y"}
        cache.apply(2, Change(f"{PREFIX}a/z", value("z")))
        assert set(names.keys.values()) == {"x", "y", "z"}
        cache.apply(3, Change(f"{PREFIX}a/x", None))
        assert set(names.keys.values()) == {"y", "z"}


async def test_changes_during_the_first_reading_are_not_lost(monkeypatch) -> None:
    monkeypatch.setattr(follower, "_SLICE", 1)
    cache, names = cache_of_pods(), Names()
    cache.replace(stored("a", "b", "c"), 1)
    async with following(cache, names) as follower_of_pods:
        await eventually(lambda: "a" in names.keys.values(), interval=0)
        assert not follower_of_pods.is_loaded
        cache.apply(2, Change(f"{PREFIX}a/a", None))
        cache.apply(3, Change(f"{PREFIX}a/d", value("d")))
        await eventually(lambda: follower_of_pods.is_loaded)
        assert set(names.keys.values()) == {"b", "c", "d"}


async def test_after_the_cache_was_read_anew_all_is_derived_again() -> None:
    cache, names = cache_of_pods(), Names()
    cache.replace(stored("a", "b"), 1)
    async with following(cache, names) as follower_of_pods:
        await eventually(lambda: follower_of_pods.is_loaded)
        cache.replace(stored("b", "c"), 9)
        await eventually(lambda: set(names.keys.values()) == {"b", "c"} and follower_of_pods.is_loaded)
        cache.apply(10, Change(f"{PREFIX}a/e", value("e")))
        assert set(names.keys.values()) == {"b", "c", "e"}
