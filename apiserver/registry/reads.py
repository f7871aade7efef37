"""How stored objects are read: one by one, and in collections as of any moment that the client names."""

from collections.abc import Awaitable
from typing import Final, TypeVar

from apimachinery.meta import Key
from apimachinery.types.objects import KubeObject
from apiserver.registry.resource import Listing, ListRequest, ResourceInfo, Served
from apiserver.registry.selection import Selection
from apiserver.storage import ObjectCache, Page, Storage, Stored

T = TypeVar("T", bound=KubeObject)

_PAGE: Final = 500
"""Objects that are read from etcd at once where the client sets no limit."""


class StoredReads(Served[T]):
    """The objects of one resource, to be read."""

    def __init__(self, info: ResourceInfo[T], storage: Storage) -> None:
        self.info = info
        self.storage = storage
        self.cache = self._open_cache()

    def _open_cache(self) -> ObjectCache[T]:
        return self.storage.cache(self.info.prefix, self.info.type)

    def _read(self, path: str) -> Awaitable[Stored[T] | None]:
        return self.storage.get(path, self.info.type)

    def list_at(self, prefix: str, revision: int = 0, limit: int = 0, start: str = "") -> Awaitable[Page[T]]:
        """As ``Storage.list_at``."""
        return self.storage.list_at(prefix, self.info.type, revision, limit, start)

    @property
    def is_loaded(self) -> bool:
        return self.cache.is_loaded

    def cached(self, key: Key) -> T | None:
        """The object as the cache has it; shared, so not to be changed."""
        stored = self.cache.get(self.info.storage_key(key))
        return stored.object if stored is not None else None

    def all_cached(self, namespace: str = "") -> list[T]:
        """The objects of a namespace, or of all, as the cache has them; shared, so not to be changed."""
        return [stored.object for stored in self.cache.items(self.info.storage_prefix(namespace))[0]]

    async def find(self, key: Key) -> T | None:
        """The object from the cache or, as the cache may not have what was created just now, from etcd."""
        path = self.info.storage_key(key)
        stored = self.cache.get(path) if self.cache.is_loaded else None
        if stored is None:
            stored = await self._read(path)
        return stored.object if stored is not None else None

    async def get(self, key: Key) -> Stored[T]:
        await self.cache.wait_current()
        stored = self.cache.get(self.info.storage_key(key))
        if stored is None:
            raise self.not_found(key)
        return stored

    async def wait(self, revision: int | None) -> None:
        if revision is None:
            await self.cache.wait_current()
        else:
            await self.cache.wait_until(revision)

    def changed_at(self, namespace: str) -> int | None:
        return self.cache.changed_at(self.info.storage_prefix(namespace))

    def count(self, namespace: str) -> int:
        return self.cache.count(self.info.storage_prefix(namespace))

    def size(self, key: Key) -> int:
        return self.cache.size(self.info.storage_key(key))

    async def list(self, namespace: str, selection: Selection, request: ListRequest) -> Listing[T]:
        if request.exact:
            return await self._list_from_etcd(namespace, selection, request)
        prefix, revision = self.info.storage_prefix(namespace), self.cache.revision
        limit = request.limit if request.revision != 0 else 0  # a list "as the cache has it" is returned whole
        name = selection.exact("metadata.name")
        if name is not None and (namespace or not self.info.resource.namespaced):
            stored = self.cache.get(self.info.storage_key(Key(namespace, name)))
            return Listing([stored] if stored is not None and selection.matches(stored.object) else [], revision)
        if selection.everything:
            items, remaining = self.cache.items(prefix, limit=limit)
            next_key = items[-1].key.removeprefix(prefix) + "\0" if remaining else ""
            return Listing(items, revision, next_key, remaining)
        items = [stored for stored in self.cache.items(prefix)[0] if selection.matches(stored.object)]
        if not limit or len(items) <= limit:
            return Listing(items, revision)
        next_key = items[limit - 1].key.removeprefix(prefix) + "\0"
        return Listing(items[:limit], revision, next_key, len(items) - limit)

    async def _list_from_etcd(self, namespace: str, selection: Selection, request: ListRequest) -> Listing[T]:
        prefix, limit, revision = self.info.storage_prefix(namespace), request.limit, request.revision or 0
        items: list[Stored[T]] = []
        start = prefix + request.start
        while True:
            page = await self.list_at(prefix, revision, limit or _PAGE, start)
            revision = page.revision
            for i, stored in enumerate(page.items):
                if not selection.matches(stored.object):
                    continue
                items.append(stored)
                if limit and len(items) == limit:
                    remaining = page.remaining + len(page.items) - i - 1
                    next_key = stored.key.removeprefix(prefix) + "\0" if remaining else ""
                    return Listing(items, revision, next_key, remaining)
            if not page.next_key:
                return Listing(items, revision)
            start = page.next_key
