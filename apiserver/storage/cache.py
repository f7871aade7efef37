"""The watch cache of one resource: all its objects, its recent events, and its watchers.

What it hands out is shared and must not be changed. A reader first awaits ``wait_until`` or ``wait_current``
and then reads without awaiting in between: what it sees is one moment, ``revision``. Revisions are etcd's own;
events of one revision are applied together, so no reader sees half a transaction.

Only the feed writes here, through ``replace`` and ``apply``.
"""

import asyncio
import logging
import time
from bisect import bisect_left, insort
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Generic, Protocol, Self

from apimachinery.errors import ApiError, BadRequest, InternalError, ServiceUnavailable, too_large_resource_version
from apiserver.storage import metrics
from apiserver.storage.encryption import NO_ENCRYPTION, Encryption
from apiserver.storage.errors import too_old
from apiserver.storage.etcd import Change, KeyValue
from apiserver.storage.etcd.requests import prefix_end
from apiserver.storage.objects import Event, Stored, T
from apiserver.storage.progress import Progress
from apiserver.storage.ring import Ring
from apiserver.storage.subscription import Subscription
from apiserver.storage.values import read

log = logging.getLogger(__name__)

WAIT = 3.0  # s that a read waits for a revision before it answers 504, as kube-apiserver does
_SLICE = 5000  # objects that are shed before others get their turn on the event loop
BUFFER = 10_000  # events that may wait for one watcher; they are shared, so each costs 8 bytes


class Index(Generic[T]):
    """Objects by key, in etcd's order, so that a list from the cache and one from etcd can continue each other."""

    def __init__(self, items: Iterable[Stored[T]] = ()) -> None:
        self._items = {item.key: item for item in items}
        # Inserting moves pointers in one block: 2 us at 10,000 keys, 40 us at 200,000.
        self._keys = sorted(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: str) -> Stored[T] | None:
        return self._items.get(key)

    def put(self, item: Stored[T]) -> None:
        if item.key not in self._items:
            insort(self._keys, item.key)
        self._items[item.key] = item

    def remove(self, key: str) -> None:
        if self._items.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def count(self, prefix: str) -> int:
        first = bisect_left(self._keys, prefix)
        return bisect_left(self._keys, prefix_end(prefix), lo=first) - first

    def range(self, prefix: str, start: str = "", limit: int = 0) -> tuple[list[Stored[T]], int]:
        """The objects under a prefix from key ``start`` on, at most ``limit`` of them (0: all), and how many
        more there are."""
        first = bisect_left(self._keys, max(prefix, start))
        end = bisect_left(self._keys, prefix_end(prefix), lo=first)
        last = min(end, first + limit) if limit else end
        items = self._items
        return [items[key] for key in self._keys[first:last]], end - last


class ObjectWatch(Protocol[T]):
    """What a watcher may do with its subscription."""

    @property
    def revision(self) -> int: ...
    async def next(self, timeout: float | None = None) -> list[Event[T]]: ...
    def hand_to(self, sink: Callable[[Event[T]], bool]) -> None: ...
    def end(self, error: ApiError) -> None: ...
    def wake(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ObjectCache(Protocol[T]):
    """What a reader may do with a cache, whatever version its objects are shown in."""

    @property
    def is_loaded(self) -> bool: ...
    @property
    def revision(self) -> int: ...
    def get(self, key: str) -> Stored[T] | None: ...
    def items(self, prefix: str | None = None, *, start: str = "", limit: int = 0) -> tuple[list[Stored[T]], int]: ...
    def changed_at(self, prefix: str | None = None) -> int: ...
    def count(self, prefix: str) -> int: ...
    def size(self, key: str) -> int: ...
    async def wait_until(self, revision: int = 0, timeout: float = WAIT) -> None: ...
    async def wait_current(self, timeout: float = WAIT) -> int: ...
    def watch(self, prefix: str | None, since: int) -> ObjectWatch[T]: ...


class Cache(Generic[T]):
    """All objects under ``prefix``, which is "/registry/<group or core>/<resource>/"."""

    def __init__(
        self,
        prefix: str,
        cls: type[T],
        progress: Progress,
        current: Callable[[], Awaitable[int]],
        encryption: Encryption = NO_ENCRYPTION,
    ) -> None:
        self.prefix = prefix
        self.type = cls
        self._encryption = encryption
        self._progress = progress
        self._current = current
        self._index: Index[T] = Index()
        self._ring: Ring[T] = Ring()
        self._watchers: dict[str, dict[Subscription[T], None]] = {}
        self._loaded = asyncio.Event()
        self._loaded_at = 0
        self._early: list[tuple[int, Change]] = []
        self._changed: dict[str, int] = {}
        self._resource = resource = prefix.removeprefix("/registry/").removeprefix("core/").rstrip("/")
        self._events = metrics.events_received.labels(resource)
        self._registered = metrics.registered_watchers.labels(resource)
        self._terminated = metrics.watchers_terminated.labels(resource)
        metrics.storage_objects.labels(resource).set_function(lambda: len(self._index))
        metrics.cache_capacity.labels(resource).set_function(lambda: len(self._ring))

    # -- reading

    @property
    def is_loaded(self) -> bool:
        return self._loaded.is_set()

    @property
    def revision(self) -> int:
        """The moment that the cache shows; 0 before it is loaded."""
        return max(self._loaded_at, self._progress.revision) if self.is_loaded else 0

    def __len__(self) -> int:
        return len(self._index)

    def get(self, key: str) -> Stored[T] | None:
        return self._index.get(key)

    def items(self, prefix: str | None = None, *, start: str = "", limit: int = 0) -> tuple[list[Stored[T]], int]:
        """Objects in the order of their keys, and how many more there are after ``limit`` (0: no limit).

        Args:
            prefix: this cache's, or that of one namespace in it.
            start: the key to begin with.
        """
        return self._index.range(prefix or self.prefix, start, limit)

    def count(self, prefix: str) -> int:
        """How many objects there are under a prefix: this cache's, or that of one namespace in it."""
        return self._index.count(prefix)

    def size(self, key: str) -> int:
        """Bytes of an object's JSON; 0 if there is none."""
        stored = self._index.get(key)
        return len(stored.data) if stored is not None else 0

    def changed_at(self, prefix: str | None = None) -> int:
        """A revision since which nothing under the prefix (the cache's or a namespace's) has changed: what an
        encoding of a whole list can be kept under."""
        return self._changed.get(prefix or self.prefix, self._changed.get(self.prefix, 0))

    async def wait_until(self, revision: int = 0, timeout: float = WAIT) -> None:
        """Return once the cache is loaded and not older than ``revision``.

        Raises:
            ServiceUnavailable: not loaded within ``timeout`` seconds.
            TooLargeResourceVersion: loaded, but not there within ``timeout`` seconds.
        """
        if not self.is_loaded:
            try:
                async with asyncio.timeout(timeout):
                    await self._loaded.wait()
            except TimeoutError:
                raise ServiceUnavailable("storage is (re)initializing", retry_after=1) from None
        if revision > self.revision:
            await self._progress.wait(revision, timeout)

    async def wait_current(self, timeout: float = WAIT) -> int:
        """Return once the cache shows every write that was acknowledged before this call; its revision.

        Raises:
            ServiceUnavailable: etcd does not answer, or the cache is not loaded.
            TooLargeResourceVersion: the cache did not get there within ``timeout`` seconds.
        """
        await self.wait_until(await self._current(), timeout)
        return self.revision

    # -- watching

    def watch(self, prefix: str | None, since: int, limit: int = BUFFER) -> Subscription[T]:
        """The events after revision ``since``, without a gap.

        Args:
            prefix: the cache's own (or None), a namespace's, or one object's whole key.
            limit: events that may wait before the watcher is ended.

        Raises:
            Expired: the events after ``since`` are no longer all known.
            TooLargeResourceVersion: ``since`` has not been reached; ``wait_until`` it first.
        """
        if not self.is_loaded:
            raise ServiceUnavailable("storage is (re)initializing", retry_after=1)
        if since > self.revision:
            raise too_large_resource_version(since, self.revision)
        prefix = prefix or self.prefix
        backlog = [
            event
            for event in self._ring.since(since)
            if event.key == prefix or (prefix[-1] == "/" and event.key.startswith(prefix))
        ]
        subscription = Subscription(prefix, backlog, limit, lambda: self.revision, self._forget)
        self._watchers.setdefault(prefix, {})[subscription] = None
        self._registered.inc()
        return subscription

    # -- the feed's side

    def decoded(self, items: Iterable[KeyValue]) -> list[Stored[T]]:
        """The objects that values of etcd stand for: all read once, and then held as JSON until used."""
        decoded = [stored for item in items if (stored := self._decode(item)) is not None]
        for stored in decoded:
            stored.shed()
        return decoded

    def replace(self, items: Iterable[Stored[T]], revision: int) -> None:
        """Make the cache what a list of etcd at ``revision`` says. Watchers end, unless this is the first."""
        self._index = Index(items)
        self._ring.reset(revision)
        self._changed = {self.prefix: revision}
        self._loaded_at = revision
        self._end_watchers(revision)
        self._loaded.set()
        early, self._early = self._early, []
        for number, change in early:
            self.apply(number, change)

    def apply(self, revision: int, change: Change) -> None:
        if not self.is_loaded:  # the list that is being read may be older than this
            self._early.append((revision, change))
            return
        if revision <= self._loaded_at:
            return
        key = change.key
        old = self._index.get(key)
        new = None
        if change.value is not None:
            new = self._decode(KeyValue(key, change.value, revision, 0))
        if new is not None:
            self._index.put(new)
        elif old is not None:
            self._index.remove(key)
        else:
            return
        namespace = key[: key.rindex("/") + 1]
        self._changed[self.prefix] = self._changed[namespace] = revision
        if new is None and not self._index.range(namespace, limit=1)[0]:
            del self._changed[namespace]  # namespaces come and go
        self._publish(Event(key, revision, old, new, time.monotonic()), namespace)

    async def shed(self) -> None:
        """Hold all objects as JSON only, until somebody reads them again: who selects among them once, as a person who
        looks for something does, must not make them four times as large for ever."""
        for number, stored in enumerate(self._index.range(self.prefix)[0]):
            stored.shed()
            if number % _SLICE == 0:
                await asyncio.sleep(0)

    def close(self) -> None:
        """End all watchers: the resource is no longer served."""
        self._end_watchers(self.revision)
        metrics.storage_objects.remove(self._resource)
        metrics.cache_capacity.remove(self._resource)

    def _publish(self, event: Event[T], namespace: str) -> None:
        self._events.inc()
        self._ring.append(event)
        lagged = []
        for prefix in (self.prefix, namespace, event.key):
            for subscription in self._watchers.get(prefix, ()):
                if not subscription.push(event):
                    lagged.append(subscription)
        for subscription in lagged:
            log.info("%s: a watcher fell too far behind at revision %d", subscription.prefix, event.revision)
            self._terminated.inc()
            self._forget(subscription)

    def _end_watchers(self, revision: int) -> None:
        for watchers in list(self._watchers.values()):
            for subscription in list(watchers):
                subscription.end(too_old(revision, revision))
                self._forget(subscription)

    def _forget(self, subscription: Subscription[T]) -> None:
        watchers = self._watchers.get(subscription.prefix)
        if watchers is None or subscription not in watchers:
            return
        del watchers[subscription]
        self._registered.dec()
        if not watchers:
            del self._watchers[subscription.prefix]

    def _decode(self, item: KeyValue) -> Stored[T] | None:
        """The object; None if it cannot be read, since one bad value must not hide all others."""
        try:
            return read(item, self.type, self._encryption)
        except (BadRequest, InternalError, RecursionError) as exc:
            log.error("%s: the value in etcd at revision %d is left out: %s", item.key, item.revision, exc)
            return None
