"""Resources that are not stored: answered (reviews, the legacy bindings), or computed when they are read."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.objects import KubeObject
from apiserver.registry.columns import Column
from apiserver.registry.resource import Admission, Listing, ListRequest, ResourceInfo, Served
from apiserver.registry.selection import Selection
from apiserver.request import Attributes
from apiserver.storage import Storage, Stored

T = TypeVar("T", bound=KubeObject)


@dataclass(frozen=True, kw_only=True)
class AnsweredResource(ResourceInfo[T]):
    """A resource that is only posted: ``answer`` is what comes back, None for plain success."""

    answer: Callable[[Attributes, T], Awaitable[T | None]]
    columns: Sequence[Column[T]] = ()
    """There is no table of an answer."""

    def serve(self, storage: Storage, admission: Admission) -> "Answers[T]":
        return Answers(self, admission)


class Answers(Served[T]):
    info: AnsweredResource[T]

    def __init__(self, info: AnsweredResource[T], admission: Admission) -> None:
        self.info, self._admission = info, admission

    async def create(self, attributes: Attributes, obj: T) -> Stored[T] | None:
        """The answer. Raises Invalid, and whatever answering raises."""
        resource, strategy = self.info.resource, self.info.strategy
        if resource.namespaced:
            obj.metadata.namespace = attributes.namespace
        strategy.default(obj)
        if faults := list(strategy.validate(obj)):
            raise errors.invalid(resource.kind, resource.group, meta.name_of(obj), faults)
        await self._admission.admit(attributes, obj, None)
        await self._admission.validate(attributes, obj, None)
        answer = await self.info.answer(attributes, obj)
        return Stored("", answer, codec.encode(answer), 0) if answer is not None else None


@dataclass(frozen=True, kw_only=True)
class ComputedResource(ResourceInfo[T]):
    """A resource that is only read: ``read`` makes all objects of a namespace, of all where it is empty."""

    read: Callable[[str], Awaitable[list[T]]]

    def serve(self, storage: Storage, admission: Admission) -> "Computed[T]":
        return Computed(self)


class Computed(Served[T]):
    info: ComputedResource[T]

    def __init__(self, info: ComputedResource[T]) -> None:
        self.info = info

    async def get(self, key: Key) -> Stored[T]:
        for obj in await self.info.read(key.namespace):
            if meta.key_of(obj) == key:
                return self._stored(obj)
        raise self.not_found(key)

    async def list(self, namespace: str, selection: Selection, request: ListRequest) -> Listing[T]:
        objects = await self.info.read(namespace)
        return Listing([self._stored(obj) for obj in objects if selection.matches(obj)])

    def _stored(self, obj: T) -> Stored[T]:
        return Stored(self.info.storage_key(meta.key_of(obj)), obj, codec.encode(obj), 0)
