"""A local copy of a resource's objects, kept up to date by a watch.

Owns the copy and its indexes. Promises: handlers are called for each object as it is added, changed and deleted, in
the order of versions, whatever happened to the connection in between (after a gap the copy is compared with a new
list). Handlers are plain functions called in the event loop, quick, and may not change the objects: these are
shared. An error in one is logged and does not affect the others. The copy may lag behind the server. Where the server's
data are replaced by older ones (etcd restored from a copy), the copy follows; see ``on_rewind``.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import aclosing
from typing import Generic, TypeVar, overload

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types.objects import KubeObject
from kube_client.resource import Page, Resource
from kube_client.workqueue import WorkQueue

log = logging.getLogger(__name__)

T = TypeVar("T", bound=KubeObject)
K = TypeVar("K", bound=Hashable)

_List = list  # inside the class ``list`` is the method

Handler = Callable[[T | None, T | None], object]
Index = Callable[[T], Iterable[Hashable]]

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0
_STEADY = 5.0
"""Seconds after which a stream that ended counts as healthy, and is resumed at once."""


class Informer(Generic[T]):
    """Start it with ``run``; read it once ``synced`` is set."""

    def __init__(
        self,
        resource: Resource[T],
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        indexes: Mapping[str, Index[T]] | None = None,
    ) -> None:
        self._resource = resource
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._store = _Store[T]()
        self._handlers: list[Handler[T]] = []
        self._rewind_handlers: list[Callable[[], object]] = []
        self._version = ""
        self._continuous = False  # whether the events after our version are known to be all that is missing
        self._history = resource.history
        self._rewinds = 0
        self._server: str | None = None  # which one was watched since the last list
        self._stream: asyncio.Timeout | None = None
        self.synced = asyncio.Event()
        self.add_indexes(indexes or {})

    @property
    def name(self) -> str:
        return self._resource.scheme.plural

    @property
    def resource_version(self) -> str:
        """The version up to which the copy is known to be complete."""
        return self._version

    def __len__(self) -> int:
        return len(self._store.objects)

    def get(self, key: Key) -> T | None:
        return self._store.objects.get(key)

    def list(self, namespace: str | None = None) -> list[T]:
        """All objects, or those of one namespace."""
        if namespace is None:
            return [*self._store.objects.values()]
        return [obj for key, obj in self._store.objects.items() if key.namespace == namespace]

    def by_index(self, index: str, value: Hashable) -> _List[T]:
        """The objects for which the index's function yielded ``value``."""
        return [*self._store.indexes[index].get(value, {}).values()]

    def add_indexes(self, indexes: Mapping[str, Index[T]]) -> None:
        """Index the objects by more; an index that exists already is left as it is.

        Raises:
            ValueError: an index of that name has another function.
        """
        for name, function in indexes.items():
            self._store.add_index(name, function)

    @overload
    def feed(self, queue: WorkQueue[Key]) -> None: ...

    @overload
    def feed(self, queue: WorkQueue[K], keys: Callable[[T], Iterable[K]]) -> None: ...

    def feed(self, queue: WorkQueue[K], keys: Callable[[T], Iterable[K]] | None = None) -> None:
        """Add an object's key to the queue whenever it is added, changed or deleted.

        Args:
            keys: what to add instead, for the object as it was and as it is: its owner's key, or none.
        """

        def add(old: T | None, new: T | None) -> None:
            for obj in (old, new):
                if obj is not None:
                    for key in keys(obj) if keys is not None else (meta.key_of(obj),):
                        queue.add(key)  # type: ignore[arg-type]  # without ``keys`` it is a queue of Key

        self.on_change(add)

    def on_change(self, handler: Handler[T]) -> None:
        """Have ``handler(old, new)`` called: (None, new) added, (old, new) changed, (old, None) deleted.

        Objects that exist already are reported as added.
        """
        self._handlers.append(handler)
        for obj in self.list():
            self._call(handler, None, obj)

    def on_rewind(self, handler: Callable[[], object]) -> None:
        """Have ``handler()`` called when the copy has followed the server back to an older version.

        The versions of before, such as those of one's own writes, have become those of other contents then.
        """
        self._rewind_handlers.append(handler)

    async def run(self) -> None:
        """Keep the copy up to date until cancelled."""
        with self._history.listener(self._start_over):
            await self._run()

    def _notice_rewind(self) -> None:
        if self._rewinds == self._history.rewinds:  # no other informer was faster
            self._history.rewind()

    def _start_over(self) -> None:
        """The server's data are older ones: what we follow may be another history by now, at the same version."""
        self._continuous = False
        if self._stream is not None:
            self._stream.reschedule(0)

    async def _run(self) -> None:
        delay = _Delay()
        while True:
            started = asyncio.get_running_loop().time()
            try:
                if not self._continuous:
                    await self._relist()
                await self._follow()
            except (errors.Expired, errors.TooLargeResourceVersion) as exc:
                log.info("%s: cannot go on from version %s: %s; listing again", self.name, self._version, exc)
                self._continuous = False
                if isinstance(exc, errors.TooLargeResourceVersion):
                    self._notice_rewind()
            except errors.ApiError as exc:
                log.info("%s: %s; will retry", self.name, exc)
            except TimeoutError:
                log.info("%s: the server's data are older ones; listing again", self.name)
            except Exception:  # an unforeseen answer; a new list repairs what can be repaired
                log.exception("%s: watch failed; listing again", self.name)
                self._continuous = False
            if asyncio.get_running_loop().time() - started > _STEADY:
                delay.reset()
            await asyncio.sleep(delay.next())

    async def _relist(self) -> None:
        """Make the copy equal to the server's state now.

        The read is consistent: a restarted daemon must not act on a state from before its own writes.
        """
        page = await self._list_now()
        self._server = None
        if self._replace(page):
            self._notice_rewind()
        self._version, self._continuous = page.resource_version, True
        self.synced.set()
        if self._rewinds != self._history.rewinds:
            log.warning("%s: the server has gone back to version %s", self.name, self._version)
            self._rewinds = self._history.rewinds
            for handler in self._rewind_handlers:
                handler()

    async def _list_now(self) -> Page[T]:
        history = self._history
        while True:
            rewinds = history.rewinds
            page = await self._resource.list(
                namespace=self._namespace, label_selector=self._label_selector, field_selector=self._field_selector
            )
            if history.rewinds == rewinds:
                return page
            # another informer noticed meanwhile; which history this list belongs to is open

    async def _follow(self) -> None:
        """Apply the events after our version until the stream ends."""
        stream = self._resource.watch(
            namespace=self._namespace,
            resource_version=self._version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            opened=self._on_open,
        )
        try:
            async with asyncio.timeout(None) as self._stream, aclosing(stream) as events:
                async for event in events:
                    if event.type == "DELETED":
                        self._delete(meta.key_of(event.object), event.object)
                    elif event.type != "BOOKMARK":
                        self._set(event.object)
                    self._version = event.object.metadata.resource_version or self._version
        finally:
            self._stream = None

    def _on_open(self, server: str) -> None:
        """Nothing tells whether a server that has been started anew has the history in which our version was given."""
        if self._server is not None and server != self._server:
            raise errors.Expired("this is another apiserver, or the same one after a restart")
        self._server = server

    def _replace(self, page: Page[T]) -> bool:
        """Returns whether an object has gone back to an older version."""
        gone = self._store.objects.keys() - {meta.key_of(obj) for obj in page.items}
        for key in gone:
            self._delete(key)
        went_back = False
        for obj in page.items:
            known = self._store.objects.get(meta.key_of(obj))
            went_back = went_back or (known is not None and _is_older(obj, known))
            self._set(obj)
        return went_back

    def _set(self, obj: T) -> None:
        key = meta.key_of(obj)
        old = self._store.objects.get(key)
        if old is not None and meta.uid_of(old) != meta.uid_of(obj):
            self._delete(key)  # its deletion was missed: another object has the name now
            old = None
        if old is not None and old.metadata.resource_version == obj.metadata.resource_version and old == obj:
            return
        self._store.set(key, obj)
        self._notify(old, obj)

    def _delete(self, key: Key, last: T | None = None) -> None:
        known = self._store.remove(key)
        if known is not None:
            self._notify(last or known, None)

    def _notify(self, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            self._call(handler, old, new)

    def _call(self, handler: Handler[T], old: T | None, new: T | None) -> None:
        try:
            handler(old, new)
        except Exception:
            subject = new or old
            log.exception("%s: %s: a handler failed", subject and meta.key_of(subject), self.name)


class _Store(Generic[T]):
    """Objects by key, and by what the indexes' functions yield for them."""

    def __init__(self) -> None:
        self.objects: dict[Key, T] = {}
        self.indexes: dict[str, dict[Hashable, dict[Key, T]]] = {}
        self._functions: dict[str, Index[T]] = {}
        self._values: dict[Key, list[tuple[str, Hashable]]] = {}

    def add_index(self, name: str, function: Index[T]) -> None:
        if name in self._functions:
            if self._functions[name] is not function:
                raise ValueError(f"index {name!r} is defined already, by another function")
            return
        self._functions[name], self.indexes[name] = function, {}
        for key, obj in self.objects.items():
            self._index(name, function, key, obj)

    def set(self, key: Key, obj: T) -> None:
        self._unindex(key)
        self.objects[key] = obj
        for name, function in self._functions.items():
            self._index(name, function, key, obj)

    def remove(self, key: Key) -> T | None:
        self._unindex(key)
        return self.objects.pop(key, None)

    def _index(self, name: str, function: Index[T], key: Key, obj: T) -> None:
        for value in _values(name, function, key, obj):
            self.indexes[name].setdefault(value, {})[key] = obj
            self._values.setdefault(key, []).append((name, value))

    def _unindex(self, key: Key) -> None:
        for name, value in self._values.pop(key, ()):
            entries = self.indexes[name].get(value)
            if entries is not None:
                entries.pop(key, None)
                if not entries:
                    del self.indexes[name][value]


def _values(name: str, function: Index[T], key: Key, obj: T) -> tuple[Hashable, ...]:
    """What an index's function yields; if it fails, the object is still kept."""
    try:
        return tuple(function(obj))
    except Exception:
        log.exception("%s: index %s failed", key, name)
        return ()


def _is_older(obj: KubeObject, known: KubeObject) -> bool:
    version, known_version = obj.metadata.resource_version or "", known.metadata.resource_version or ""
    return (
        meta.uid_of(obj) == meta.uid_of(known)
        and version.isdigit()
        and known_version.isdigit()
        and int(version) < int(known_version)
    )


class _Delay:
    """Seconds before the next attempt: none after a healthy stream, otherwise growing, spread by a half."""

    def __init__(self) -> None:
        self._next = 0.0

    def reset(self) -> None:
        self._next = 0.0

    def next(self) -> float:
        delay = self._next
        self._next = min(max(delay * 2, _FIRST_DELAY), _LONGEST_DELAY)
        return delay * random.uniform(0.5, 1.0)


async def wait_for_sync(*informers: Informer[T]) -> None:
    """Return when each informer has a whole copy."""
    for informer in informers:
        await informer.synced.wait()
