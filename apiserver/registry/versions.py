"""A kind that is served in several versions and stored in one.

Two pure functions lead from one version to the other. What is converted is kept in the stored object's ``memo``, so
it is made once however many readers there are. The rest of the server meets a resource like any other.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from apimachinery import codec
from apimachinery.fields import FieldError
from apimachinery.types.objects import KubeObject
from apiserver.registry.columns import Column
from apiserver.registry.resource import Admission, Allocation, Kind, Subresource
from apiserver.registry.store import Store, StoredResource
from apiserver.registry.strategy import Deletion, Strategy
from apiserver.storage import Event, ObjectCache, ObjectWatch, Page, Storage, StorageConflict, Stored

T = TypeVar("T", bound=KubeObject)
S = TypeVar("S", bound=KubeObject)


@dataclass(frozen=True)
class Conversion(Generic[T, S]):
    """Between a version that is served and the one that is stored."""

    type: type[T]
    to_stored: Callable[[T], S]
    from_stored: Callable[[S], T]

    def converted(self, stored: Stored[S]) -> Stored[T]:
        converted: Stored[T] | None = stored.memo.get(self.type)
        if converted is None:
            obj = self.from_stored(stored.object)
            converted = stored.memo[self.type] = Stored(stored.key, obj, codec.encode(obj), stored.revision)
        return converted

    def converted_or_none(self, stored: Stored[S] | None) -> Stored[T] | None:
        return self.converted(stored) if stored is not None else None

    def event(self, event: Event[S]) -> Event[T]:
        converted: Event[T] | None = event.memo.get(self.type)
        if converted is None:
            old, new = self.converted_or_none(event.old), self.converted_or_none(event.new)
            converted = event.memo[self.type] = Event(event.key, event.revision, old, new, event.time)
        return converted


class ConvertedStrategy(Strategy[T], Generic[T, S]):
    """Defaults and rules of another version: those of the stored one, on what the object becomes there."""

    def __init__(self, main: Strategy[S], conversion: Conversion[T, S]) -> None:
        self._main, self._to, self._from = main, conversion.to_stored, conversion.from_stored
        self.name_rule = main.name_rule
        self.allow_create_on_update = main.allow_create_on_update
        self.allow_unconditional_update = main.allow_unconditional_update
        self.returns_deleted = main.returns_deleted
        self.counts_generations = main.counts_generations

    def default(self, obj: T) -> None:
        stored = self._to(obj)
        self._main.default(stored)
        self._copy_back(stored, obj)

    def prepare_for_create(self, obj: T) -> None:
        stored = self._to(obj)
        self._main.prepare_for_create(stored)
        self._copy_back(stored, obj)

    def prepare_for_update(self, obj: T, old: T) -> None:
        stored = self._to(obj)
        self._main.prepare_for_update(stored, self._to(old))
        self._copy_back(stored, obj)

    def validate(self, obj: T) -> Iterator[FieldError]:
        return self._main.validate(self._to(obj))

    def validate_create(self, obj: T) -> Iterator[FieldError]:
        return self._main.validate_create(self._to(obj))

    def validate_update(self, obj: T, old: T) -> Iterator[FieldError]:
        return self._main.validate_update(self._to(obj), self._to(old))

    def desired_state(self, obj: T) -> object:
        return self._main.desired_state(self._to(obj))

    def awaits(self, obj: T) -> bool:
        return self._main.awaits(self._to(obj))

    def delete(self, obj: T, grace_seconds: int | None) -> Deletion:
        return self._main.delete(self._to(obj), grace_seconds)

    def warnings(self, obj: T) -> Iterator[str]:
        return self._main.warnings(self._to(obj))

    def _copy_back(self, stored: S, obj: T) -> None:
        changed = self._from(stored)
        for field in obj.__struct_fields__:
            setattr(obj, field, getattr(changed, field))


@dataclass(frozen=True, kw_only=True)
class OtherVersion(StoredResource[T], Generic[T, S]):
    """A resource that is another version of what ``main`` stores."""

    main: StoredResource[S]
    conversion: Conversion[T, S]

    @property
    def stored_kind(self) -> Kind[Any] | None:
        return self.main.kind

    @cached_property
    def prefix(self) -> str:
        return self.main.prefix

    def serve(self, storage: Storage, admission: Admission) -> Store[T]:
        return ConvertedStore(self, storage, admission)


def other_version(
    main: StoredResource[S],
    conversion: Conversion[T, S],
    strategy: ConvertedStrategy[T, S],
    subresources: dict[str, Subresource[T, Any]] | None = None,
    renamed_fields: Mapping[str, str] | None = None,
) -> OtherVersion[T, S]:
    """The row of another version, which says of itself what ``main`` does.

    Args:
        renamed_fields: what field selectors can name in this version (all that ``main`` has, if None), each with the name
            in ``main``.
    """
    names = renamed_fields if renamed_fields is not None else {name: name for name in main.fields}

    def through(cell: Callable[[S], str]) -> Callable[[T], str]:
        return lambda obj: cell(conversion.to_stored(obj))

    def column(column: Column[S]) -> Column[T]:
        return replace(column, cell=lambda obj: column.cell(conversion.to_stored(obj)))  # type: ignore[arg-type, return-value]

    return OtherVersion(
        conversion.type,
        strategy,
        columns=[column(main_column) for main_column in main.columns],
        singular=main.singular,
        short_names=main.short_names,
        categories=main.categories,
        fields={name: through(main.fields[main_name]) for name, main_name in names.items()},
        subresources=subresources or {},
        ttl_seconds=main.ttl_seconds,
        verbs=main.verbs,
        main=main,
        conversion=conversion,
    )


class ConvertedStore(Store[T], Generic[T, S]):
    """The objects of another version, in the storage of the main one."""

    info: OtherVersion[T, S]

    def _open_cache(self) -> ObjectCache[T]:
        cache = self.storage.cache(self.info.prefix, self.info.main.type)
        return ConvertedCache(self.info.conversion, cache)

    async def _read(self, path: str) -> Stored[T] | None:
        return self.info.conversion.converted_or_none(await self.storage.get(path, self.info.main.type))

    async def list_at(self, prefix: str, revision: int = 0, limit: int = 0, start: str = "") -> Page[T]:
        page = await self.storage.list_at(prefix, self.info.main.type, revision, limit, start)
        items = [self.info.conversion.converted(stored) for stored in page.items]
        return Page(items, page.revision, page.remaining, page.next_key)

    def _write(self, path: str, obj: T, revision: int, allocation: Allocation) -> Awaitable[Stored[T]]:
        return self._write_converted(path, self.info.conversion.to_stored(obj), revision)

    async def _write_converted(self, path: str, obj: S, revision: int) -> Stored[T]:
        ttl = self.info.ttl_seconds
        try:
            if revision:
                stored = await self.storage.update(path, obj, revision, ttl=ttl)
            else:
                stored = await self.storage.create(path, obj, ttl=ttl)
        except StorageConflict as conflict:
            raise self._converted(conflict) from conflict
        return self.info.conversion.converted(stored)

    async def remove(self, current: Stored[T]) -> None:
        try:
            await super().remove(current)
        except StorageConflict as conflict:
            raise self._converted(conflict) from conflict

    def _converted(self, conflict: StorageConflict) -> StorageConflict:
        return StorageConflict(conflict.key, self.info.conversion.converted_or_none(conflict.current))


class ConvertedCache(Generic[T, S]):
    """A cache whose objects are shown in another version."""

    def __init__(self, conversion: Conversion[T, S], cache: ObjectCache[S]) -> None:
        self._conversion, self._cache = conversion, cache
        self.changed_at = cache.changed_at
        self.count = cache.count
        self.size = cache.size
        self.wait_until = cache.wait_until
        self.wait_current = cache.wait_current

    @property
    def is_loaded(self) -> bool:
        return self._cache.is_loaded

    @property
    def revision(self) -> int:
        return self._cache.revision

    def get(self, key: str) -> Stored[T] | None:
        return self._conversion.converted_or_none(self._cache.get(key))

    def items(self, prefix: str | None = None, *, start: str = "", limit: int = 0) -> tuple[list[Stored[T]], int]:
        items, more = self._cache.items(prefix, start=start, limit=limit)
        return [self._conversion.converted(stored) for stored in items], more

    def watch(self, prefix: str | None, since: int) -> "ConvertedWatch[T, S]":
        return ConvertedWatch(self._conversion, self._cache.watch(prefix, since))


class ConvertedWatch(Generic[T, S]):
    """A watch whose events are shown in another version."""

    def __init__(self, conversion: Conversion[T, S], watch: ObjectWatch[S]) -> None:
        self._conversion, self._watch = conversion, watch
        self.end = watch.end
        self.wake = watch.wake

    @property
    def revision(self) -> int:
        return self._watch.revision

    async def next(self, timeout: float | None = None) -> list[Event[T]]:
        return [self._conversion.event(event) for event in await self._watch.next(timeout)]

    def hand_to(self, sink: Callable[[Event[T]], bool]) -> None:
        self._watch.hand_to(lambda event: sink(self._conversion.event(event)))

    def __enter__(self) -> Self:
        self._watch.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.__exit__(kind, error, trace)
