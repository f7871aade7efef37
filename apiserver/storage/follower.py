"""Keeps what is derived from a cache's objects up to date with it, change by change.

A change reaches the derived state in the same turn of the event loop in which it reaches the cache: who reads both sees
one moment. When the cache has been read anew, everything is derived again, in slices between which others run; until
that is done ``is_loaded`` is False, and what has been derived is not to be relied on.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

from apimachinery.errors import ApiError, ServiceUnavailable
from apiserver.storage.cache import WAIT, ObjectCache
from apiserver.storage.objects import Event, Stored, T

T_contra = TypeVar("T_contra", contravariant=True)

_SLICE: Final = 500  # objects, which are decoded for this: some 10 ms


class Derived(Protocol[T_contra]):
    """What is derived. Objects go by their keys in storage; they are shared, and not to be changed."""

    def clear(self) -> None: ...
    def put(self, key: str, obj: T_contra) -> None:
        """An object that is new, or has changed; unchanged ones may come, too."""
        ...

    def drop(self, key: str) -> None: ...


class Follower(Generic[T]):
    """Run ``run`` as a task for as long as the cache is fed."""

    def __init__(self, cache: ObjectCache[T], derived: Derived[T]) -> None:
        self._cache, self._derived = cache, derived
        self._loaded = asyncio.Event()

    @property
    def is_loaded(self) -> bool:
        return self._loaded.is_set()

    async def run(self) -> None:
        while True:
            try:
                await self._cache.wait_until()
                await self._follow()
            except ApiError:  # the cache is not loaded yet, or was read anew
                self._loaded.clear()

    async def wait_current(self) -> None:
        """Return once every write that was acknowledged before this call has arrived. Raises as the cache's does."""
        await self._cache.wait_current()
        await self.wait_loaded()

    async def wait_loaded(self) -> None:
        """Raises ServiceUnavailable if that takes longer than a read waits for a cache."""
        if self.is_loaded:
            return
        try:
            async with asyncio.timeout(WAIT):
                await self._loaded.wait()
        except TimeoutError:
            raise ServiceUnavailable("storage is (re)initializing", retry_after=1) from None

    async def _follow(self) -> None:
        """Raises ApiError when there is no more to follow."""
        with self._cache.watch(None, self._cache.revision) as changes:
            await self._fill(self._cache.items()[0])
            for event in await changes.next(timeout=0):
                self._apply(event)
            changes.hand_to(self._apply)  # nothing is waiting, as nobody else has run since
            self._loaded.set()
            await changes.next()

    async def _fill(self, items: Sequence[Stored[T]]) -> None:
        self._derived.clear()
        for number, stored in enumerate(items, start=1):
            self._derived.put(stored.key, stored.object)
            if number % _SLICE == 0:
                await asyncio.sleep(0)

    def _apply(self, event: Event[T]) -> bool:
        if event.new is not None:
            self._derived.put(event.key, event.new.object)
        else:
            self._derived.drop(event.key)
        return True
