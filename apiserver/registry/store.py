"""The one path that every write of every resource takes.

    decode (handler) -> authorize (handler) -> default, prepare -> admit -> validate -> managed fields -> transaction

A dry run stops before the transaction. A delete that has to wait, for a grace period or for a finalizer,
is an update. Writes are compare-and-set on the revision that the change was made from; a change that
does not name a revision is made again on what is there now.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

from msgspec import structs
from msgspec.structs import replace

from apimachinery import codec, errors, meta
from apimachinery.fields import Path
from apimachinery.managed_fields import track_update
from apimachinery.meta import Key
from apimachinery.types.objects import KubeObject
from apiserver.admission import Plugin
from apiserver.registry import metadata
from apiserver.registry.resource import Allocation, ResourceInfo
from apiserver.registry.strategy import Strategy
from apiserver.request import Attributes
from apiserver.storage import AlreadyExists, ClaimTaken, Storage, StorageConflict, Stored

T = TypeVar("T", bound=KubeObject)

_ATTEMPTS: Final = 16
"""How often a change that names no revision is made anew when others come between."""
_BLIND_ATTEMPTS: Final = 3
"""How often an address or port is guessed before all that are taken are read."""

_ANY_VERSION: Final = (None, "", "0")
_NOTHING: Final = Allocation()
_RESOURCE_VERSION: Final = Path("metadata", "resourceVersion")
MODIFIED: Final = "the object has been modified; please apply your changes to the latest version and try again"

Change = Callable[[T | None], T]
"""Makes the new object from the current one (None: there is none). Called again after a conflict."""


class Store(Generic[T]):
    """One resource's objects, to be written. Reading is the cache's."""

    def __init__(self, info: ResourceInfo[T], storage: Storage, admission: Plugin) -> None:
        self.info = info
        self.storage = storage
        self.cache = storage.cache(info.prefix, info.type)
        self.bodies: dict[str, Any] = {}
        """Whole lists' bodies by prefix, kept by the handler that makes them."""
        self.admission = admission

    # -- reading

    async def get(self, key: Key) -> Stored[T]:
        """The object as of now. Raises NotFound."""
        await self.cache.wait_current()
        return self._present(key, self.cache.get(self.info.storage_key(key)))

    def _present(self, key: Key, stored: Stored[T] | None) -> Stored[T]:
        if stored is None:
            raise self.not_found(key)
        return stored

    def not_found(self, key: Key) -> errors.NotFound:
        return errors.not_found(self.info.resource.plural, self.info.resource.group, key.name)

    async def freshest(self, key: Key) -> Stored[T] | None:
        return await self.storage.get(self.info.storage_key(key), self.info.type)

    # -- creating

    async def create(self, attributes: Attributes, obj: T) -> Stored[T]:
        """Write a new object. Raises AlreadyExists, Invalid, BadRequest, and whatever admission raises."""
        strategy, generated = self.info.strategy, not obj.metadata.name
        if obj.metadata.resource_version not in _ANY_VERSION:
            raise errors.BadRequest("resourceVersion should not be set on objects to be created")
        metadata.fill_for_create(obj.metadata, attributes.namespace)
        strategy.default(obj)
        strategy.prepare_for_create(obj)
        await self.admission.admit(attributes, obj, None)
        if strategy.counts_generations:
            obj.metadata.generation = 1
        self._track(attributes, obj, None)
        self._check(obj, None, strategy)
        await self.admission.validate(attributes, obj, None)
        for attempt in range(_ATTEMPTS):
            try:
                return await self._insert(attributes, obj)
            except AlreadyExists:
                if not generated or not obj.metadata.generate_name or attempt == _ATTEMPTS - 1:
                    raise self._exists(meta.key_of(obj)) from None
                obj.metadata.name = metadata.generate_name(obj.metadata.generate_name)
                strategy.default(obj)  # defaults may follow from the name
        raise AssertionError("unreachable")

    def _exists(self, key: Key) -> errors.AlreadyExists:
        return errors.already_exists(self.info.resource.plural, self.info.resource.group, key.name)

    async def _insert(self, attributes: Attributes, obj: T) -> Stored[T]:
        """The transaction of a create, with what the object must hold alone."""
        key = self.info.storage_key(meta.key_of(obj))
        if attributes.dry_run:
            return await self._rehearse(obj, None, key)
        ttl = self.info.ttl_seconds
        return await self._claiming(
            obj, None, lambda chosen, holds: self.storage.create(key, chosen, claims=holds.claims, ttl=ttl)
        )

    async def _claiming(
        self, obj: T, old: T | None, write: Callable[[T, Allocation], Awaitable[Stored[T]]]
    ) -> Stored[T]:
        """Write the object with what it must hold alone, choosing again when somebody else was faster."""
        if self.info.allocator is None:
            return await write(obj, _NOTHING)
        taken: frozenset[str] = frozenset()
        for attempt in range(_ATTEMPTS):
            try:
                return await write(*self._allocate(obj, old, taken))
            except ClaimTaken as clash:
                taken = await self._taken(taken, clash, attempt)
        raise errors.Timeout("no free address or port was found in time; try again")

    def _allocate(self, obj: T, old: T | None, taken: frozenset[str]) -> tuple[T, Allocation]:
        if self.info.allocator is None:
            return obj, _NOTHING
        chosen = codec.copy(obj)
        return chosen, self.info.allocator.allocate(chosen, old, taken)

    async def _taken(self, known: frozenset[str], clash: ClaimTaken, attempt: int) -> frozenset[str]:
        """What must be avoided at the next attempt: at first what was met, then everything that is taken."""
        prefix = clash.claim[: clash.claim.rindex("/") + 1]
        if attempt < _BLIND_ATTEMPTS:
            return known | {clash.claim}
        return known | frozenset(await self.storage.meta.list(prefix))

    async def _rehearse(self, obj: T, old: Stored[T] | None, key: str) -> Stored[T]:
        """What a write would return, without the write."""
        if old is None and await self.storage.get(key, self.info.type) is not None:
            raise AlreadyExists(key)
        before = old.object if old else None
        chosen, holds = self._allocate(obj, before, frozenset())
        if taken := frozenset([claim for claim in holds.claims if await self.storage.meta.get(claim) is not None]):
            chosen, _ = self._allocate(obj, before, taken)
        chosen.metadata.resource_version = str(old.revision) if old else None
        return Stored(key, chosen, codec.encode(chosen), old.revision if old else 0)

    # -- updating

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
            may_create: an object that is not there is made, as apply does.

        Raises:
            NotFound: there is no such object, and the resource does not create by update.
            Conflict: the revision or uid is not the object's, or others changed it too often in between.
        """
        main = self.info.strategy
        strategy = strategy or main
        current, is_fresh = await self.first_look(key, attributes)
        for _ in range(_ATTEMPTS):
            if current is None:
                if not may_create and not (strategy is main and main.allow_create_on_update):
                    raise self.not_found(key)
                return await self._create_by_update(attributes, key, change(None)), True
            try:
                obj = change(current.object)
                self._precondition(key, obj, current)
                return await self._replace(attributes, obj, current, strategy), False
            except StorageConflict as conflict:
                current, is_fresh = conflict.current, True
            except errors.ApiError:
                latest = None if is_fresh else await self.freshest(key)
                if is_fresh or (latest is not None and latest.revision == current.revision):
                    raise
                current, is_fresh = latest, True
        raise self.conflict(key, MODIFIED)

    async def first_look(self, key: Key, attributes: Attributes) -> tuple[Stored[T] | None, bool]:
        """The object as a change may begin with it, and whether it is certain to be the current one.

        The cache's will do for a write, which is compare-and-set; but a refusal must be thought over with
        the current object, since the cache may be some milliseconds behind.
        """
        current = None
        if self.cache.is_loaded and not attributes.dry_run:
            current = self.cache.get(self.info.storage_key(key))
        return (current, False) if current is not None else (await self.freshest(key), True)

    async def _create_by_update(self, attributes: Attributes, key: Key, obj: T) -> Stored[T]:
        if obj.metadata.resource_version not in _ANY_VERSION:
            raise self.not_found(key)
        if obj.metadata.uid:
            raise self.conflict(
                key, f"Precondition failed: UID in precondition: {obj.metadata.uid}, UID in object meta: "
            )
        return await self.create(replace(attributes, verb="create"), obj)

    def conflict(self, key: Key, why: str) -> errors.Conflict:
        return errors.conflict(self.info.resource.plural, self.info.resource.group, key.name, why)

    def _precondition(self, key: Key, obj: T, current: Stored[T]) -> None:
        version, uid = obj.metadata.resource_version, obj.metadata.uid
        if version not in _ANY_VERSION and version != str(current.revision):
            raise self.conflict(key, MODIFIED)
        if uid and uid != current.object.metadata.uid:
            raise self.conflict(
                key,
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {current.object.metadata.uid}",
            )
        if not version and not self.info.strategy.allow_unconditional_update:
            raise errors.invalid(
                self.info.resource.kind,
                self.info.resource.group,
                key.name,
                [_RESOURCE_VERSION.invalid(0, "must be specified for an update")],
            )

    async def _replace(self, attributes: Attributes, obj: T, current: Stored[T], strategy: Strategy[T]) -> Stored[T]:
        """The transaction of an update. Raises StorageConflict if the object moved."""
        old = current.object
        metadata.fill_for_update(obj.metadata, old.metadata)
        strategy.default(obj)
        strategy.prepare_for_update(obj, old)
        await self.admission.admit(attributes, obj, old)
        desired = strategy.desired_state
        if self.info.strategy.counts_generations and desired(obj) != desired(old):
            obj.metadata.generation = (old.metadata.generation or 0) + 1
        self._track(attributes, obj, old)
        self._check(obj, old, strategy)
        await self.admission.validate(attributes, obj, old)
        return await self.write(attributes, obj, current)

    async def write(self, attributes: Attributes, obj: T, current: Stored[T]) -> Stored[T]:
        """Put a finished object in the place of ``current``, or remove it if it was only waiting to go.

        Raises StorageConflict if the object moved.
        """
        obj.metadata.resource_version = str(current.revision)
        if attributes.dry_run:
            return await self._rehearse(obj, current, current.key)
        if _is_unchanged(obj, current.object):
            fresh = await self.storage.get(current.key, self.info.type)
            if fresh is None or fresh.revision != current.revision:
                raise StorageConflict(current.key, fresh)
            return current  # nothing changed: no revision is spent on it
        if self.is_finished(obj):
            await self.remove(current)
            return Stored(current.key, obj, codec.encode(obj), current.revision)
        key, revision, ttl = current.key, current.revision, self.info.ttl_seconds
        return await self._claiming(
            obj,
            current.object,
            lambda chosen, holds: self.storage.update(key, chosen, revision, holds.claims, holds.releases, ttl=ttl),
        )

    def is_finished(self, obj: T) -> bool:
        """Whether a deleted object has nothing left to wait for."""
        return (
            obj.metadata.deletion_timestamp is not None
            and not obj.metadata.finalizers
            and not self.info.strategy.awaits(obj)
            and not obj.metadata.deletion_grace_period_seconds
        )

    async def remove(self, current: Stored[T]) -> None:
        """Take the object out of storage, with all that it held. Raises StorageConflict if it moved."""
        releases = self.info.allocator.release(current.object) if self.info.allocator else ()
        await self.storage.delete(current.key, current.revision, releases, owner=meta.uid_of(current.object))

    # -- what creating and updating share

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
        """Say in managedFields who wrote what; an apply patch has said it already."""
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
    """Whether a write would change nothing but the times at which its managers are said to have written."""
    before = old.metadata.managed_fields
    if len(new.metadata.managed_fields or ()) != len(before or ()):
        return False
    pairs = zip(new.metadata.managed_fields or (), before or (), strict=True)
    if any(structs.replace(mine, time=theirs.time) != theirs for mine, theirs in pairs):
        return False
    return structs.replace(new, metadata=structs.replace(new.metadata, managed_fields=before)) == old
