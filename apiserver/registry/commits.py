"""The last step of every write: the transaction that puts a finished object into etcd, with the addresses and ports that
it must own, or takes it out.

A dry run rehearses the transaction: it reads what the transaction would be compared with, and writes nothing.
"""

from collections.abc import Awaitable
from typing import Final, TypeVar

from msgspec import structs

from apimachinery import codec, errors, meta
from apimachinery.types.objects import KubeObject
from apiserver.registry.reads import StoredReads
from apiserver.registry.resource import Allocation, Allocator, ResourceInfo
from apiserver.request import Attributes
from apiserver.storage import AlreadyExists, ClaimTaken, Storage, StorageConflict, Stored

T = TypeVar("T", bound=KubeObject)

ATTEMPTS: Final = 16
"""How often a generated name, an address or a port is tried that turns out to be taken."""
_BLIND_ATTEMPTS: Final = 3
"""How often an address or port is guessed before all that are taken are read."""

_NO_ALLOCATION: Final = Allocation()


class StoredCommits(StoredReads[T]):
    """One resource's objects, as far as they are read, and written as they are."""

    def __init__(
        self, info: ResourceInfo[T], storage: Storage, allocator: Allocator[T] | None, ttl_seconds: int | None
    ) -> None:
        super().__init__(info, storage)
        self._allocator, self._ttl = allocator, ttl_seconds

    def _write(self, path: str, obj: T, revision: int, allocation: Allocation) -> Awaitable[Stored[T]]:
        """The transaction of a create (``revision`` 0) or an update."""
        if not revision:
            return self.storage.create(path, obj, allocation.claims, self._ttl)
        return self.storage.update(path, obj, revision, allocation.claims, allocation.releases, self._ttl)

    async def remove(self, current: Stored[T]) -> None:
        """Take the object out of storage, with the keys that it owned. Raises StorageConflict if it moved."""
        releases = self._allocator.release(current.object) if self._allocator else ()
        await self.storage.delete(current.key, current.revision, releases, owner=meta.uid_of(current.object))

    async def _confirmed(self, current: Stored[T]) -> Stored[T]:
        """``current``, after etcd has confirmed that it is current. Raises StorageConflict if the object moved."""
        latest = await self._read(current.key)
        if latest is None or latest.revision != current.revision:
            raise StorageConflict(current.key, latest)
        return current

    async def _commit(self, attributes: Attributes, obj: T, current: Stored[T] | None) -> Stored[T]:
        """The transaction: the object, and the addresses and ports it must own, chosen again if another writer was faster."""
        path = current.key if current else self.info.storage_key(meta.key_of(obj))
        if attributes.dry_run:
            return await self._rehearse(obj, current, path)
        old, revision = (current.object, current.revision) if current else (None, 0)
        allocator = self._allocator
        if allocator is None:
            return await self._write(path, obj, revision, _NO_ALLOCATION)
        taken: frozenset[str] = frozenset()
        for attempt in range(ATTEMPTS):
            allocated = codec.copy(obj)
            allocation = allocator.allocate(allocated, old, taken)
            try:
                return await self._write(path, allocated, revision, allocation)
            except ClaimTaken as clash:
                taken |= {clash.claim}
                if attempt >= _BLIND_ATTEMPTS:
                    taken |= frozenset(await self.storage.meta.list(clash.claim[: clash.claim.rindex("/") + 1]))
        raise errors.Timeout("no free address or port was found in time; try again")

    async def _rehearse(self, obj: T, current: Stored[T] | None, path: str) -> Stored[T]:
        """What a write would return, without the write."""
        if current is None and await self._read(path) is not None:
            raise AlreadyExists(path)
        allocator, old = self._allocator, current.object if current else None
        rehearsed = codec.copy(obj)
        if allocator is not None:
            claims = allocator.allocate(rehearsed, old, frozenset()).claims
            if taken := frozenset([claim for claim in claims if await self.storage.meta.get(claim) is not None]):
                rehearsed = codec.copy(obj)
                allocator.allocate(rehearsed, old, taken)
        rehearsed.metadata.resource_version = str(current.revision) if current else None
        return Stored(path, rehearsed, codec.encode(rehearsed), current.revision if current else 0)


def is_unchanged(new: KubeObject, old: KubeObject) -> bool:
    """Whether a write would change nothing but the times of its managedFields."""
    before = old.metadata.managed_fields
    if len(new.metadata.managed_fields or ()) != len(before or ()):
        return False
    pairs = zip(new.metadata.managed_fields or (), before or (), strict=True)
    if any(structs.replace(mine, time=theirs.time) != theirs for mine, theirs in pairs):
        return False
    return structs.replace(new, metadata=structs.replace(new.metadata, managed_fields=before)) == old
