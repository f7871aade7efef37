"""A kind that is served in several versions and stored in one.

The row of another version is derived from the stored one's with two pure functions; ``ConvertedStorage`` is the
storage as that row's store sees it. The rest of the server meets a resource like any other. What is converted is
kept in the stored object's ``memo``, so it is made once however many ask.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from apimachinery import codec
from apimachinery.fields import FieldError
from apimachinery.types.objects import KubeObject
from apiserver.registry.resource import ResourceInfo, StoredAs, Subresource
from apiserver.registry.strategy import Deletion, Strategy
from apiserver.storage import Cache, Event, Meta, Page, Storage, StorageConflict, Stored, Subscription

T = TypeVar("T", bound=KubeObject)


class OtherVersion(Strategy[Any]):
    """Defaults and rules of another version: those of the stored one, on what the object becomes there."""

    def __init__(self, main: Strategy[Any], stored_as: StoredAs) -> None:
        self._main, self._to, self._from = main, stored_as.to_stored, stored_as.from_stored
        self.name_rule = main.name_rule
        self.allow_create_on_update = main.allow_create_on_update
        self.allow_unconditional_update = main.allow_unconditional_update
        self.returns_deleted = main.returns_deleted
        self.counts_generations = main.counts_generations

    def default(self, obj: Any) -> None:
        self._through(obj, self._main.default)

    def prepare_for_create(self, obj: Any) -> None:
        self._through(obj, self._main.prepare_for_create)

    def prepare_for_update(self, obj: Any, old: Any) -> None:
        self._through(obj, lambda stored: self._main.prepare_for_update(stored, self._to(old)))

    def validate(self, obj: Any) -> Iterator[FieldError]:
        yield from self._main.validate(self._to(obj))

    def validate_create(self, obj: Any) -> Iterator[FieldError]:
        yield from self._main.validate_create(self._to(obj))

    def validate_update(self, obj: Any, old: Any) -> Iterator[FieldError]:
        yield from self._main.validate_update(self._to(obj), self._to(old))

    def desired_state(self, obj: Any) -> Any:
        return self._main.desired_state(self._to(obj))

    def awaits(self, obj: Any) -> bool:
        return self._main.awaits(self._to(obj))

    def delete(self, obj: Any, grace_seconds: int | None) -> Deletion:
        return self._main.delete(self._to(obj), grace_seconds)

    def warnings(self, obj: Any) -> Iterator[str]:
        yield from self._main.warnings(self._to(obj))

    def _through(self, obj: Any, change: Callable[[Any], None]) -> None:
        """Let the stored version's hook change the object."""
        stored = self._to(obj)
        change(stored)
        changed = self._from(stored)
        for field in obj.__struct_fields__:
            setattr(obj, field, getattr(changed, field))


def other_version(
    type: type[T],
    main: ResourceInfo[Any],
    to_stored: Callable[[T], Any],
    from_stored: Callable[[Any], T],
    strategy: type[OtherVersion] = OtherVersion,
) -> ResourceInfo[T]:
    """The row of ``type``, which is another version of what ``main`` serves and stores."""
    stored_as = StoredAs(main, to_stored, from_stored)

    def subresource(one: Subresource) -> Subresource:
        return replace(one, strategy=strategy(one.strategy, stored_as) if one.strategy else None)

    def through(cell: Callable[[Any], Any]) -> Callable[[T], Any]:
        return lambda obj: cell(to_stored(obj))

    fields: Mapping[str, Callable[[T], str]] = {name: through(look) for name, look in main.fields.items()}
    return ResourceInfo(
        type,
        strategy(main.strategy, stored_as),
        columns=[replace(column, cell=through(column.cell)) for column in main.columns],
        singular=main.singular,
        short_names=main.short_names,
        categories=main.categories,
        fields=fields,
        subresources={name: subresource(one) for name, one in main.subresources.items()},
        ttl_seconds=main.ttl_seconds,
        verbs=main.verbs,
        stored_as=stored_as,
    )


def storage_for(info: ResourceInfo[Any], storage: Storage) -> Storage:
    """The storage as the store of this row must see it."""
    if info.stored_as is None:
        return storage
    return cast(Storage, ConvertedStorage(info.type, info.stored_as, storage))


class Converter:
    """Stored objects and events in another version."""

    def __init__(self, type: type[KubeObject], stored_as: StoredAs) -> None:
        self._type, self._from = type, stored_as.from_stored

    def shown(self, stored: Stored[Any]) -> Stored[Any]:
        found: Stored[Any] | None = stored.memo.get(self._type)
        if found is None:
            obj = self._from(stored.object)
            found = stored.memo[self._type] = Stored(stored.key, obj, codec.encode(obj), stored.revision)
        return found

    def perhaps(self, stored: Stored[Any] | None) -> Stored[Any] | None:
        return self.shown(stored) if stored is not None else None

    def event(self, event: Event[Any]) -> Event[Any]:
        found: Event[Any] | None = event.memo.get(self._type)
        if found is None:
            old, new = self.perhaps(event.old), self.perhaps(event.new)
            found = event.memo[self._type] = Event(event.key, event.revision, old, new, event.time)
        return found


class ConvertedStorage:
    """What a Store asks of a Storage, for objects that are stored in another version."""

    def __init__(self, type: type[KubeObject], stored_as: StoredAs, storage: Storage) -> None:
        self._storage, self._to = storage, stored_as.to_stored
        self._stored_type: Any = stored_as.info.type
        self._converter = Converter(type, stored_as)

    @property
    def meta(self) -> Meta:
        return self._storage.meta

    def cache(self, prefix: str, type: Any) -> Cache[Any]:
        return cast("Cache[Any]", ConvertedCache(self._converter, self._storage.cache(prefix, self._stored_type)))

    async def get(self, key: str, type: Any) -> Stored[Any] | None:
        return self._converter.perhaps(await self._storage.get(key, self._stored_type))

    async def list_at(
        self, prefix: str, type: Any, revision: int = 0, limit: int = 0, start_key: str = ""
    ) -> Page[Any]:
        page = await self._storage.list_at(prefix, self._stored_type, revision, limit, start_key)
        return page._replace(items=[self._converter.shown(one) for one in page.items])

    async def create(self, key: str, obj: Any, claims: Iterable[str] = (), ttl: float | None = None) -> Stored[Any]:
        return self._converter.shown(await self._storage.create(key, self._to(obj), claims, ttl))

    async def update(
        self,
        key: str,
        obj: Any,
        expected_revision: int,
        claims: Iterable[str] = (),
        releases: Iterable[str] = (),
        ttl: float | None = None,
    ) -> Stored[Any]:
        try:
            stored = await self._storage.update(key, self._to(obj), expected_revision, claims, releases, ttl)
        except StorageConflict as conflict:
            raise self._conflict(conflict) from conflict
        return self._converter.shown(stored)

    async def delete(self, key: str, expected_revision: int, releases: Iterable[str] = (), owner: str = "") -> int:
        try:
            return await self._storage.delete(key, expected_revision, releases, owner)
        except StorageConflict as conflict:
            raise self._conflict(conflict) from conflict

    def _conflict(self, conflict: StorageConflict) -> StorageConflict:
        return StorageConflict(conflict.key, self._converter.perhaps(conflict.current))


class ConvertedCache:
    """What readers ask of a Cache, for objects that are stored in another version."""

    def __init__(self, converter: Converter, cache: Cache[Any]) -> None:
        self._converter, self._cache = converter, cache
        self.prefix = cache.prefix
        self.changed_at = cache.changed_at
        self.wait_until = cache.wait_until
        self.wait_current = cache.wait_current

    @property
    def is_loaded(self) -> bool:
        return self._cache.is_loaded

    @property
    def revision(self) -> int:
        return self._cache.revision

    def __len__(self) -> int:
        return len(self._cache)

    def get(self, key: str) -> Stored[Any] | None:
        return self._converter.perhaps(self._cache.get(key))

    def items(self, prefix: str | None = None, *, start: str = "", limit: int = 0) -> tuple[list[Stored[Any]], int]:
        found, more = self._cache.items(prefix, start=start, limit=limit)
        return [self._converter.shown(one) for one in found], more

    def watch(self, prefix: str | None, since: int) -> "ConvertedSubscription":
        return ConvertedSubscription(self._converter, self._cache.watch(prefix, since))


class ConvertedSubscription:
    """What a watch asks of a Subscription."""

    def __init__(self, converter: Converter, subscription: Subscription[Any]) -> None:
        self._converter, self._subscription = converter, subscription
        self.end = subscription.end
        self.wake = subscription.wake
        self.close = subscription.close

    @property
    def revision(self) -> int:
        return self._subscription.revision

    async def next(self, timeout: float | None = None) -> list[Event[Any]]:
        return [self._converter.event(event) for event in await self._subscription.next(timeout)]

    def hand_to(self, sink: Callable[[Event[Any]], bool]) -> None:
        self._subscription.hand_to(lambda event: sink(self._converter.event(event)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
