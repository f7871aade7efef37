"""What the server knows of a resource (its row), and what every resource is served as.

A resource is stored (``store``), another version of a stored one (``versions``), answered or computed (``unstored``).
Each of these is a row of its own class, which makes what serves it.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from apimachinery import errors, scheme
from apimachinery.meta import Key
from apimachinery.schema.definitions import definition_name
from apimachinery.types.meta_v1 import DeleteOptions
from apimachinery.types.objects import KubeObject
from apiserver.registry.columns import Column
from apiserver.registry.selection import Selection
from apiserver.registry.strategy import Strategy
from apiserver.request import Attributes
from apiserver.storage import ObjectCache, Storage, Stored

T = TypeVar("T", bound=KubeObject)
K = TypeVar("K")
V = TypeVar("V", bound=KubeObject)
Contra = TypeVar("Contra", bound=KubeObject, contravariant=True)

CRUD: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

Change = Callable[[T | None], T]
"""Makes the new object from the current one (None: there is none). Called again after a conflict."""


@dataclass(frozen=True)
class Kind(Generic[K]):
    """What is read and written under one path."""

    type: type[K]
    group: str
    version: str
    name: str

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def definition(self) -> str | None:
        """The name of the kind's definition in the schema."""
        return definition_name(self.group, self.version, self.name)


def kind_of(type: type[T]) -> Kind[T]:
    """The kind that a type presets."""
    preset = type()
    group, _, version = (preset.api_version or "").rpartition("/")
    return Kind(type, group, version, preset.kind or "")


class Admission(Protocol):
    """What is asked before anything is written: ``apiserver.admission``. All raise ApiError for a refusal."""

    async def authorize(self, attributes: Attributes) -> None:
        """Whether the user may also do this: an update that creates is authorized as both."""
        ...

    async def admit(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        """Change ``obj``, which is the request's own."""
        ...

    async def validate(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        """Judge the finished object."""
        ...

    async def validate_delete(self, attributes: Attributes, old: KubeObject) -> None: ...


@dataclass(frozen=True)
class Allocation:
    """Keys that a write must newly own, and keys that it gives back."""

    claims: Sequence[str] = ()
    releases: Sequence[str] = ()


class Allocator(Protocol[Contra]):
    """Gives an object what must be unique in the cluster (addresses, ports), in the object's own transaction."""

    def allocate(self, obj: Contra, old: Contra | None, taken: frozenset[str]) -> Allocation:
        """Fill in what ``obj`` lacks, avoiding ``taken`` keys; what the transaction must claim and give back.

        Raises:
            ApiError: what the object asks for by name is in ``taken``, or nothing is free.
        """
        ...

    def release(self, obj: Contra) -> Sequence[str]:
        """The keys that go with the object."""
        ...


class Listing(NamedTuple, Generic[T]):
    """Objects of a collection, as of one moment."""

    items: Sequence[Stored[T]]
    revision: int = 0
    """0 for objects that are not stored."""
    next_key: str = ""
    """Where the next part begins, below the prefix of the collection; empty if this is the last."""
    remaining: int = 0
    """How many more are selected."""


class ListRequest(NamedTuple):
    """Which part of a collection is read, and as of when."""

    limit: int = 0
    """0 for no limit."""
    revision: int | None = None
    """None for now; 0 for whatever is cached, N for not older than N or, if ``exact``, as of N."""
    exact: bool = False
    start: str = ""
    """``next_key`` of the part before."""


class Deleted(NamedTuple, Generic[T]):
    """The object as a delete left it, and whether it is gone from storage."""

    stored: Stored[T]
    gone: bool


@dataclass(frozen=True)
class ResourceInfo(ABC, Generic[T]):
    """A row of the resource table. Its class says how the resource is served; everything else is generic."""

    type: type[T]
    strategy: Strategy[T]
    columns: Sequence[Column[T]]
    singular: str
    short_names: Sequence[str] = ()
    categories: Sequence[str] = ()
    fields: Mapping[str, Callable[[T], str]] = field(default_factory=dict)
    """What a field selector may ask for, besides metadata.name and metadata.namespace."""
    subresources: Mapping[str, "Subresource[T, Any]"] = field(default_factory=dict)
    verbs: Sequence[str] = CRUD

    @cached_property
    def resource(self) -> scheme.Resource:
        return scheme.resource_of(self.type)

    @cached_property
    def kind(self) -> Kind[T]:
        return Kind(self.type, self.resource.group, self.resource.version, self.resource.kind)

    @cached_property
    def definition(self) -> str:
        """The name of the kind's definition in the schema, which every resource has."""
        if self.kind.definition is None:
            raise KeyError(f"the schema has no {self.kind.name} of {self.kind.api_version}")
        return self.kind.definition

    def reset_fields(self, subresource: str) -> tuple[str, ...]:
        """The top-level fields that a write through this path does not take from the client."""
        if "status" not in self.subresources:
            return ()
        return ("spec",) if subresource == "status" else ("status",)

    @property
    def stored_kind(self) -> Kind[Any] | None:
        """The kind as which the objects are stored; None if they are not."""
        return None

    @cached_property
    def prefix(self) -> str:
        """The prefix of the objects' keys, also of those that are not stored; ends in a slash."""
        return f"/registry/{self.resource.group or 'core'}/{self.resource.plural}/"

    def storage_key(self, key: Key) -> str:
        return f"{self.prefix}{key.namespace or '-'}/{key.name}"

    def storage_prefix(self, namespace: str) -> str:
        return f"{self.prefix}{namespace}/" if namespace else self.prefix

    @abstractmethod
    def serve(self, storage: Storage, admission: Admission) -> "Served[T]":
        """What answers requests for the resource."""


class Served(Generic[T]):
    """A resource while it is served. Verbs that a resource does not override are not allowed."""

    info: ResourceInfo[T]
    cache: ObjectCache[T]
    """What watches read; only of what is stored."""

    @property
    def is_loaded(self) -> bool:
        """Whether reads can be answered yet."""
        return True

    async def wait(self, revision: int | None) -> None:
        """Return once a list shows at least this revision; None for every write that has been acknowledged."""

    async def get(self, key: Key) -> Stored[T]:
        """The object as of now. Raises NotFound."""
        raise not_allowed()

    async def list(self, namespace: str, selection: Selection, request: ListRequest) -> Listing[T]:
        """The selected objects of a namespace, of all namespaces where it is empty; ``wait`` first.

        Raises:
            Expired: the revision that was asked for is compacted.
        """
        raise not_allowed()

    def changed_at(self, namespace: str) -> int | None:
        """A revision since which nothing in the namespace has changed; None if that is not known."""
        return None

    def count(self, namespace: str) -> int:
        """About how many objects a list of the namespace, or of all, has to read."""
        return 0

    def size(self, key: Key) -> int:
        """About how many bytes the object's JSON has; 0 if there is none."""
        return 0

    async def create(self, attributes: Attributes, obj: T) -> Stored[T] | None:
        """Write a new object; the answer, None for plain success."""
        raise not_allowed()

    async def update(
        self,
        attributes: Attributes,
        key: Key,
        change: Change[T],
        strategy: Strategy[T] | None = None,
        *,
        may_create: bool = False,
    ) -> tuple[Stored[T], bool]:
        """Write what ``change`` makes of the object; the object, and whether that created it."""
        raise not_allowed()

    async def delete(self, attributes: Attributes, key: Key, options: DeleteOptions) -> Deleted[T]:
        """Delete one object, at once or gracefully."""
        raise not_allowed()

    def not_found(self, key: Key) -> errors.NotFound:
        return errors.not_found(self.info.resource.plural, self.info.resource.group, key.name)


class Subresource(Generic[T, V]):
    """A path of an object of type ``T``, under which a ``V`` is read and written."""

    connects = False
    """Whether the path leads to a stream that a node, or the object itself, answers."""

    def __init__(self, verbs: Sequence[str]) -> None:
        self.verbs = verbs

    def kind(self, info: ResourceInfo[T]) -> Kind[V]:
        """What is read and written."""
        raise not_allowed()

    def columns(self, info: ResourceInfo[T]) -> Sequence[Column[V]]:
        """Its columns in a table; none where there is no table of it."""
        return ()

    def discovered(self, resource: scheme.Resource) -> tuple[str, str, str]:
        """Group, version and kind that discovery names."""
        return resource.group, resource.version, resource.kind

    def warnings(self, info: ResourceInfo[T], obj: V) -> Iterator[str]:
        """Warnings to the client about an object that is accepted."""
        yield from ()

    # not coroutines of their own: an object's path must not cost an await more than its store does

    def get(self, served: Served[T], key: Key) -> Awaitable[Stored[V]]:
        raise not_allowed()

    def create(self, served: Served[T], attributes: Attributes, key: Key, obj: V) -> Awaitable[Stored[V] | None]:
        """Do what was posted; the answer, None for plain success."""
        raise not_allowed()

    def update(
        self, served: Served[T], attributes: Attributes, key: Key, change: Change[V], *, may_create: bool
    ) -> Awaitable[tuple[Stored[V], bool]]:
        """Write a change; the result, and whether that created the object."""
        raise not_allowed()


def not_allowed() -> errors.MethodNotAllowed:
    return errors.MethodNotAllowed("the server does not allow this method on the requested resource")
