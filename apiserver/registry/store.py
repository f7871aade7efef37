"""The one path that every write of every stored resource takes.

    decode (handler) -> authorize (handler) -> default, prepare -> admit -> validate -> managed fields -> transaction

A dry run stops before the transaction. A delete that has to wait, for a grace period or for a finalizer,
is an update. Writes are compare-and-set on the revision that the change was made from; a change that
does not name a revision is made again on what is there now. Writers of one object take turns.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from msgspec import structs
from msgspec.structs import replace

from apimachinery import codec, errors, meta, times
from apimachinery.fields import Path
from apimachinery.managed_fields import track_update
from apimachinery.meta import Key
from apimachinery.types.meta_v1 import DeleteOptions, StatusDetails
from apimachinery.types.objects import KubeObject
from apiserver.registry import deletion, metadata
from apiserver.registry.reads import StoredReads
from apiserver.registry.resource import Admission, Allocation, Allocator, Change, Deleted, Kind, ResourceInfo
from apiserver.registry.strategy import Strategy
from apiserver.registry.turns import Turns
from apiserver.request import Attributes
from apiserver.storage import AlreadyExists, ClaimTaken, Storage, StorageConflict, Stored

T = TypeVar("T", bound=KubeObject)
R = TypeVar("R")

_ATTEMPTS: Final = 16
"""How often a generated name, an address or a port is tried that turns out to be taken."""
_PATIENCE: Final = 34.0
"""Seconds after which a write gives up that others always forestall; Kubernetes gives a request as long."""
_BLIND_ATTEMPTS: Final = 3
"""How often an address or port is guessed before all that are taken are read."""

_NO_ALLOCATION: Final = Allocation()
_ANY_VERSION: Final = (None, "", "0")
_RESOURCE_VERSION: Final = Path("metadata", "resourceVersion")
MODIFIED: Final = "the object has been modified; please apply your changes to the latest version and try again"


@dataclass(frozen=True)
class StoredResource(ResourceInfo[T]):
    """A resource whose objects are kept in etcd."""

    allocator: Allocator[T] | None = None
    ttl_seconds: int | None = None
    """How long an object lives after its last write; None: until it is deleted."""

    @property
    def stored_kind(self) -> Kind[Any] | None:
        return self.kind

    def serve(self, storage: Storage, admission: Admission) -> "Store[T]":
        return Store(self, storage, admission)


class Store(StoredReads[T]):
    """One resource's objects."""

    info: StoredResource[T]
    patience = _PATIENCE

    def __init__(self, info: StoredResource[T], storage: Storage, admission: Admission) -> None:
        super().__init__(info, storage)
        self._admission = admission
        self._turns = Turns()

    # -- storage

    def _write(self, path: str, obj: T, revision: int, allocation: Allocation) -> Awaitable[Stored[T]]:
        """The transaction of a create (``revision`` 0) or an update."""
        ttl = self.info.ttl_seconds
        if not revision:
            return self.storage.create(path, obj, allocation.claims, ttl)
        return self.storage.update(path, obj, revision, allocation.claims, allocation.releases, ttl)

    async def remove(self, current: Stored[T]) -> None:
        """Take the object out of storage, with the keys that it owned. Raises StorageConflict if it moved."""
        releases = self.info.allocator.release(current.object) if self.info.allocator else ()
        await self.storage.delete(current.key, current.revision, releases, owner=meta.uid_of(current.object))

    # -- creating

    async def create(self, attributes: Attributes, obj: T) -> Stored[T]:
        """Write a new object. Raises AlreadyExists, Invalid, BadRequest, and whatever admission raises."""
        strategy, generated = self.info.strategy, not obj.metadata.name
        if obj.metadata.resource_version not in _ANY_VERSION:
            raise errors.BadRequest("resourceVersion should not be set on objects to be created")
        times.canonicalize(obj)
        metadata.fill_for_create(obj.metadata, attributes.namespace if self.info.resource.namespaced else "")
        strategy.default(obj)
        strategy.prepare_for_create(obj)
        await self._admission.admit(attributes, obj, None)
        if strategy.counts_generations:
            obj.metadata.generation = 1
        self._track(attributes, obj, None)
        self._check(obj, None, strategy)
        await self._admission.validate(attributes, obj, None)
        for attempt in range(_ATTEMPTS):
            try:
                return await self._commit(attributes, obj, None)
            except AlreadyExists:
                if not generated or not obj.metadata.generate_name or attempt == _ATTEMPTS - 1:
                    resource = self.info.resource
                    raise errors.already_exists(resource.plural, resource.group, meta.name_of(obj)) from None
                obj.metadata.name = metadata.generate_name(obj.metadata.generate_name)
                strategy.default(obj)  # defaults may follow from the name
        raise AssertionError("unreachable")

    async def judge(self, attributes: Attributes, posted: KubeObject) -> None:
        """Have admission judge what is posted to an object and not stored. Raises whatever that raises."""
        await self._admission.validate(attributes, posted, None)

    # -- updating and deleting

    async def guaranteed_update(
        self, attributes: Attributes, key: Key, attempt: Callable[[Stored[T] | None], Awaitable[R]]
    ) -> R:
        """The compare-and-set loop of every write to an object that may exist; returns what ``attempt`` returns.

        That others write the object, too, is never the client's fault: it is waited for and tried again. The first
        attempt begins with the object of the cache, which will do for a write. A refusal counts only if it was made
        from the current object, since the cache may be some milliseconds behind.

        Args:
            attempt: writes what it makes of the current object (None: there is none), or raises StorageConflict if
                the object has moved. It is called again then.

        Raises:
            ApiError: whatever ``attempt`` raises.
            Timeout: others have changed the object in between for all of the time that a request has.
        """
        path, deadline = self.info.storage_key(key), asyncio.get_running_loop().time() + self.patience
        if attributes.dry_run:
            return await self._compare_and_set(attributes, key, attempt, deadline)
        try:
            await self._turns.take(path, self.patience)
        except TimeoutError as fault:
            raise self._contended(key) from fault
        try:
            return await self._compare_and_set(attributes, key, attempt, deadline)
        finally:
            self._turns.give(path)

    async def _compare_and_set(
        self,
        attributes: Attributes,
        key: Key,
        attempt: Callable[[Stored[T] | None], Awaitable[R]],
        deadline: float,
    ) -> R:
        path, current = self.info.storage_key(key), None
        if self.cache.is_loaded and not attributes.dry_run:
            current = self.cache.get(path)
        if from_etcd := current is None:
            current = await self._read(path)
        while True:
            try:
                return await attempt(current)
            except StorageConflict as conflict:
                current, from_etcd = conflict.current, True
                if asyncio.get_running_loop().time() > deadline:
                    raise self._contended(key) from conflict
            except (errors.ServiceUnavailable, errors.Timeout):
                raise  # no judgement of the object: asking again takes as long
            except errors.ApiError:
                if from_etcd:
                    raise
                latest = await self._read(path)
                if latest is not None and current is not None and latest.revision == current.revision:
                    raise
                current, from_etcd = latest, True

    def _contended(self, key: Key) -> errors.Timeout:
        resource = self.info.resource
        details = StatusDetails(name=key.name, group=resource.group or None, kind=resource.plural)
        return errors.Timeout("others change the object all the time; try again later", details=details, retry_after=1)

    async def update(
        self,
        attributes: Attributes,
        key: Key,
        change: Change[T],
        strategy: Strategy[T] | None = None,
        *,
        may_create: bool = False,
    ) -> tuple[Stored[T], bool]:
        """Write what ``change`` makes of the object; with whether that created it.

        A change whose result carries a resourceVersion or uid is held to it.

        Args:
            strategy: that of a subresource; None for the object itself.
            may_create: a missing object is created, as apply does.

        Raises:
            NotFound: there is no such object, and the resource does not create by update.
            Conflict: the revision or uid is not the object's.
        """
        may_create = may_create or (strategy is None and self.info.strategy.allow_create_on_update)

        async def attempt(current: Stored[T] | None) -> tuple[Stored[T], bool]:
            if current is not None:
                obj = change(current.object)
                self._check_preconditions(key, obj, current)
                return await self._replace(attributes, obj, current, strategy or self.info.strategy), False
            if not may_create:
                raise self.not_found(key)
            obj = change(None)
            if obj.metadata.resource_version not in _ANY_VERSION:
                raise self.not_found(key)
            if obj.metadata.uid:
                raise self.conflict(
                    key, f"Precondition failed: UID in precondition: {obj.metadata.uid}, UID in object meta: "
                )
            creating = replace(attributes, verb="create")
            await self._admission.authorize(creating)
            return await self.create(creating, obj), True

        return await self.guaranteed_update(attributes, key, attempt)

    async def modify(
        self, attributes: Attributes, key: Key, modify: Callable[[T], None], strategy: Strategy[T]
    ) -> Stored[T]:
        """Write the object after ``modify`` has changed a copy of it. Raises as ``update``."""

        def change(current: T | None) -> T:
            if current is None:
                raise self.not_found(key)
            obj = codec.copy(current)
            modify(obj)
            return obj

        return (await self.update(attributes, key, change, strategy))[0]

    async def delete(self, attributes: Attributes, key: Key, options: DeleteOptions) -> Deleted[T]:
        """Delete one object, or mark it as being deleted. Repeating it is safe.

        Raises:
            NotFound: there is no such object.
            Conflict: the uid or resourceVersion is not the one that the options name.
            BadRequest: the options contradict themselves or name an unknown policy.
        """
        finalizer = deletion.finalizer_of(options)

        async def attempt(current: Stored[T] | None) -> Deleted[T]:
            if current is None:
                raise self.not_found(key)
            if (why := deletion.failed_precondition(current, options)) is not None:
                raise self.conflict(key, why)
            await self._admission.validate_delete(attributes, current.object)
            request = self.info.strategy.delete(current.object, options.grace_period_seconds)
            if current.object.metadata.deletion_timestamp and not deletion.hastens(current.object, request):
                return Deleted(await self._confirmed(current), gone=False)
            obj = codec.copy(current.object)
            deletion.mark(obj, self.info.strategy, request, finalizer)
            if not self.is_finished(obj):
                return Deleted(await self.write(attributes, obj, current), gone=False)
            if not attributes.dry_run:
                await self.remove(current)
            return Deleted(current, gone=True)

        return await self.guaranteed_update(attributes, key, attempt)

    def conflict(self, key: Key, why: str) -> errors.Conflict:
        return errors.conflict(self.info.resource.plural, self.info.resource.group, key.name, why)

    def is_finished(self, obj: T) -> bool:
        """Whether nothing delays the removal of a deleted object."""
        return (
            obj.metadata.deletion_timestamp is not None
            and not obj.metadata.finalizers
            and not self.info.strategy.awaits(obj)
            and not obj.metadata.deletion_grace_period_seconds
        )

    def _check_preconditions(self, key: Key, obj: T, current: Stored[T]) -> None:
        version, uid = obj.metadata.resource_version, obj.metadata.uid
        if version not in _ANY_VERSION and version != str(current.revision):
            raise self.conflict(key, MODIFIED)
        if uid and uid != current.object.metadata.uid:
            raise self.conflict(
                key,
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {current.object.metadata.uid}",
            )
        if not version and not self.info.strategy.allow_unconditional_update:
            fault = _RESOURCE_VERSION.invalid(0, "must be specified for an update")
            raise errors.invalid(self.info.resource.kind, self.info.resource.group, key.name, [fault])

    async def _replace(self, attributes: Attributes, obj: T, current: Stored[T], strategy: Strategy[T]) -> Stored[T]:
        """All steps of an update. Raises StorageConflict if the object moved."""
        old = current.object
        times.canonicalize(obj)
        metadata.fill_for_update(obj.metadata, old.metadata)
        strategy.default(obj)
        strategy.prepare_for_update(obj, old)
        await self._admission.admit(attributes, obj, old)
        desired = strategy.desired_state
        if self.info.strategy.counts_generations and desired(obj) != desired(old):
            obj.metadata.generation = (old.metadata.generation or 0) + 1
        self._track(attributes, obj, old)
        self._check(obj, old, strategy)
        await self._admission.validate(attributes, obj, old)
        return await self.write(attributes, obj, current)

    async def write(self, attributes: Attributes, obj: T, current: Stored[T]) -> Stored[T]:
        """Put a finished object in the place of ``current``, or remove it if nothing delays its deletion any more.

        Raises StorageConflict if the object moved.
        """
        obj.metadata.resource_version = str(current.revision)
        if not attributes.dry_run:
            if not current.is_stale and _is_unchanged(obj, current.object):
                return await self._confirmed(current)  # no revision is spent on it
            if self.is_finished(obj):
                await self.remove(current)
                return Stored(current.key, obj, codec.encode(obj), current.revision)
        return await self._commit(attributes, obj, current)

    async def _confirmed(self, current: Stored[T]) -> Stored[T]:
        """``current``, after etcd has confirmed that it is current. Raises StorageConflict if the object moved."""
        latest = await self._read(current.key)
        if latest is None or latest.revision != current.revision:
            raise StorageConflict(current.key, latest)
        return current

    # -- what creating and updating share

    async def _commit(self, attributes: Attributes, obj: T, current: Stored[T] | None) -> Stored[T]:
        """The transaction: the object, and the addresses and ports it must own, chosen again if another writer was faster."""
        path = current.key if current else self.info.storage_key(meta.key_of(obj))
        if attributes.dry_run:
            return await self._rehearse(obj, current, path)
        old, revision = (current.object, current.revision) if current else (None, 0)
        allocator = self.info.allocator
        if allocator is None:
            return await self._write(path, obj, revision, _NO_ALLOCATION)
        taken: frozenset[str] = frozenset()
        for attempt in range(_ATTEMPTS):
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
        allocator, old = self.info.allocator, current.object if current else None
        rehearsed = codec.copy(obj)
        if allocator is not None:
            claims = allocator.allocate(rehearsed, old, frozenset()).claims
            if taken := frozenset([claim for claim in claims if await self.storage.meta.get(claim) is not None]):
                rehearsed = codec.copy(obj)
                allocator.allocate(rehearsed, old, taken)
        rehearsed.metadata.resource_version = str(current.revision) if current else None
        return Stored(path, rehearsed, codec.encode(rehearsed), current.revision if current else 0)

    def _check(self, obj: T, old: T | None, strategy: Strategy[T]) -> None:
        resource = self.info.resource
        faults = list(metadata.validate(obj, namespaced=resource.namespaced, name_rule=self.info.strategy.name_rule))
        faults += strategy.validate(obj)
        if old is None:
            faults += strategy.validate_create(obj)
        else:
            faults += metadata.validate_update(obj, old)
            faults += strategy.validate_update(obj, old)
        if faults:
            raise errors.invalid(resource.kind, resource.group, meta.name_of(obj), faults)

    def _track(self, attributes: Attributes, obj: T, old: T | None) -> None:
        """Record in managedFields who wrote what; an apply patch has done so already."""
        if attributes.is_apply:
            return
        obj.metadata.managed_fields = (
            track_update(
                codec.to_builtins(old) if old is not None else None,
                codec.to_builtins(obj),
                attributes.field_manager,
                definition=self.info.definition,
                api_version=self.info.resource.api_version,
                time=meta.now(),
                subresource=attributes.subresource,
                reset=self.info.reset_fields(attributes.subresource),
            )
            or None
        )


def _is_unchanged(new: KubeObject, old: KubeObject) -> bool:
    """Whether a write would change nothing but the times of its managedFields."""
    before = old.metadata.managed_fields
    if len(new.metadata.managed_fields or ()) != len(before or ()):
        return False
    pairs = zip(new.metadata.managed_fields or (), before or (), strict=True)
    if any(structs.replace(mine, time=theirs.time) != theirs for mine, theirs in pairs):
        return False
    return structs.replace(new, metadata=structs.replace(new.metadata, managed_fields=before)) == old
