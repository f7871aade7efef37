"""One row of the resource table: all that the server knows of a resource."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from apimachinery import scheme
from apimachinery.meta import Key
from apimachinery.schema.definitions import definition_name
from apimachinery.types.objects import KubeObject
from apiserver.registry.columns import Column
from apiserver.registry.strategy import Strategy

T = TypeVar("T", bound=KubeObject)

CRUD = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class View:
    """Another kind through which a resource can be read and written, such as ``Scale``.

    ``read`` makes the view of an object; ``write`` copies what the view may change into an object.
    """

    type: type[KubeObject]
    group: str
    version: str
    kind: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]


@dataclass(frozen=True)
class Subresource:
    """One part of an object with a path of its own.

    One of these says how it is served: ``strategy`` writes the whole object under other rules, ``view`` shows it
    as another kind, ``create`` turns a posted object into a change, ``action`` does what a posted object asks for,
    ``connect`` leaves it to the node, or to the object itself.
    """

    verbs: Sequence[str]
    strategy: Strategy[Any] | None = None
    view: View | None = None
    create: "PostedChange | None" = None
    action: "PostedAction | None" = None
    connect: bool = False
    kind: str = ""
    """The kind that discovery names, where it is not the resource's own."""

    @property
    def foreign(self) -> tuple[str, str, str] | None:
        """Group, version and kind of what is read or written here, if its group is not the resource's own."""
        if self.view is not None:
            return self.view.group, self.view.version, self.view.kind
        if self.action is not None:
            blank = self.action.type()
            group, _, version = (blank.api_version or "").rpartition("/")
            return group, version, blank.kind or ""
        return None


PROXY_VERBS = ("create", "delete", "get", "patch", "update")


def proxy(kind: str) -> Subresource:
    """What an object serves itself; ``kind`` is that of the options in its paths."""
    return Subresource(PROXY_VERBS, connect=True, kind=kind)


@dataclass(frozen=True)
class PostedChange:
    """A subresource that is posted and changes the object it is posted to, such as a Binding."""

    type: type[KubeObject]
    apply: Callable[[Any, Any], None]
    """(current object's private copy, what was posted); raises an ApiError if it cannot be."""


@dataclass(frozen=True)
class PostedAction:
    """A subresource that is posted and does more than change its object, such as an Eviction."""

    type: type[KubeObject]
    run: Callable[[Any, Any, Key, Any], Awaitable[KubeObject | None]]
    """(store, request attributes, the object's key, what was posted); the answer, None for plain success."""


@dataclass(frozen=True)
class StoredAs:
    """That objects are stored in another version, and how they get there and back. Both functions are pure."""

    info: "ResourceInfo[Any]"
    to_stored: Callable[[Any], Any]
    from_stored: Callable[[Any], Any]


class Allocator(Protocol):
    """Gives an object what must be unique in the cluster (addresses, ports), in the object's own transaction."""

    def allocate(self, obj: Any, old: Any | None, taken: frozenset[str]) -> "Allocation":
        """Fill in ``obj`` what it has not, avoiding ``taken`` keys, and say what the transaction must claim.

        Raises:
            ApiError: what the object asks for by name is in ``taken``, or nothing is free.
        """
        ...

    def release(self, obj: Any) -> Sequence[str]:
        """The keys that go with the object."""
        ...


@dataclass(frozen=True)
class Allocation:
    """Keys that a write must newly own, and keys that it gives back."""

    claims: Sequence[str] = ()
    releases: Sequence[str] = ()


@dataclass(frozen=True)
class ResourceInfo(Generic[T]):
    """A row. Everything else in the server is generic."""

    type: type[T]
    strategy: Strategy[T]
    columns: Sequence[Column[T]]
    singular: str
    short_names: Sequence[str] = ()
    categories: Sequence[str] = ()
    fields: Mapping[str, Callable[[T], str]] = field(default_factory=dict)
    """What a field selector may ask for, besides metadata.name and metadata.namespace."""
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    allocator: Allocator | None = None
    ttl_seconds: int | None = None
    """How long an object lives after its last write; None is for ever."""
    verbs: Sequence[str] = CRUD
    stored_as: StoredAs | None = None
    """Where the objects lie, if they are stored in another version."""
    answer: Callable[[Any, Any, T], Awaitable[Any]] | None = None
    """(store, request attributes, what was posted): what is answered where nothing is stored, as for a review."""
    read: Callable[[str], Awaitable[list[Any]]] | None = None
    """Finds out all objects of a namespace, of all where it is empty, where they are made when asked for."""

    @cached_property
    def resource(self) -> scheme.Resource:
        return scheme.resource_of(self.type)

    @cached_property
    def definition(self) -> str:
        """The name of the kind's definition in the schema."""
        return _definition(self.resource)

    def reset_fields(self, subresource: str) -> tuple[str, ...]:
        """The top-level fields that a write through this path does not take from the client."""
        if "status" not in self.subresources:
            return ()
        return ("spec",) if subresource == "status" else ("status",)

    @cached_property
    def prefix(self) -> str:
        """Where the objects lie in storage; ends in a slash."""
        if self.stored_as is not None:
            return self.stored_as.info.prefix
        return f"/registry/{self.resource.group or 'core'}/{self.resource.plural}/"

    def storage_key(self, key: Key) -> str:
        return f"{self.prefix}{key.namespace or '-'}/{key.name}"

    def storage_prefix(self, namespace: str) -> str:
        return f"{self.prefix}{namespace}/" if namespace else self.prefix


def _definition(resource: scheme.Resource) -> str:
    name = definition_name(resource.group, resource.version, resource.kind)
    if name is None:
        raise KeyError(f"the schema has no {resource.kind} of {resource.api_version}")
    return name
