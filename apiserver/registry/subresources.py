"""Parts of an object with a path of their own; each class serves one sort of them.

``WHOLE`` stands for the path of the object itself, so that handlers need not distinguish the two.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, TypeVar

from apimachinery import codec, errors
from apimachinery.meta import Key
from apimachinery.scheme import Resource
from apimachinery.types.objects import KubeObject
from apiserver.registry.columns import Column
from apiserver.registry.resource import Change, Kind, ResourceInfo, Served, Subresource, kind_of
from apiserver.registry.store import Store
from apiserver.registry.strategy import Strategy
from apiserver.request import Attributes
from apiserver.storage import Stored

T = TypeVar("T", bound=KubeObject)
V = TypeVar("V", bound=KubeObject)

STATUS_VERBS: Final = ("get", "patch", "update")
PROXY_VERBS: Final = ("create", "delete", "get", "patch", "update")


class WholeObject(Subresource[T, T]):
    """The path of the object itself."""

    def kind(self, info: ResourceInfo[T]) -> Kind[T]:
        return info.kind

    def columns(self, info: ResourceInfo[T]) -> Sequence[Column[T]]:
        return info.columns

    def warnings(self, info: ResourceInfo[T], obj: T) -> Iterator[str]:
        return info.strategy.warnings(obj)

    def get(self, served: Served[T], key: Key) -> Awaitable[Stored[T]]:
        return served.get(key)

    def create(self, served: Served[T], attributes: Attributes, key: Key, obj: T) -> Awaitable[Stored[T] | None]:
        return served.create(attributes, obj)

    def update(
        self, served: Served[T], attributes: Attributes, key: Key, change: Change[T], *, may_create: bool
    ) -> Awaitable[tuple[Stored[T], bool]]:
        return served.update(attributes, key, change, may_create=may_create)


WHOLE: Final = WholeObject[KubeObject](())


class ObjectSubresource(WholeObject[T]):
    """The whole object, written under the rules of a strategy of its own: ``/status``, ``/finalize``."""

    def __init__(self, strategy: Strategy[T], verbs: Sequence[str] = STATUS_VERBS) -> None:
        super().__init__(verbs)
        self.strategy = strategy

    def warnings(self, info: ResourceInfo[T], obj: T) -> Iterator[str]:
        return self.strategy.warnings(obj)

    def update(
        self, served: Served[T], attributes: Attributes, key: Key, change: Change[T], *, may_create: bool
    ) -> Awaitable[tuple[Stored[T], bool]]:
        return served.update(attributes, key, change, self.strategy)


class ViewSubresource(Subresource[T, V]):
    """Another kind as which an object can be read and written, such as ``Scale``."""

    def __init__(
        self, type: type[V], strategy: Strategy[T], read: Callable[[T], V], write: Callable[[T, V], None]
    ) -> None:
        """``read`` makes the view of an object; ``write`` copies what the view may change into an object."""
        super().__init__(STATUS_VERBS)
        self._kind = kind_of(type)
        self._strategy, self.read, self._write = strategy, read, write

    def kind(self, info: ResourceInfo[T]) -> Kind[V]:
        return self._kind

    def discovered(self, resource: Resource) -> tuple[str, str, str]:
        return self._kind.group, self._kind.version, self._kind.name

    async def get(self, served: Served[T], key: Key) -> Stored[V]:
        return self._view(await served.get(key))

    async def update(
        self, served: Served[T], attributes: Attributes, key: Key, change: Change[V], *, may_create: bool
    ) -> tuple[Stored[V], bool]:
        def changed(current: T | None) -> T:
            if current is None:
                raise served.not_found(key)
            view = change(self.read(current))
            obj = codec.copy(current)
            obj.metadata.resource_version = view.metadata.resource_version or obj.metadata.resource_version
            obj.metadata.uid = view.metadata.uid or obj.metadata.uid
            if attributes.is_apply:
                obj.metadata.managed_fields = view.metadata.managed_fields
            self._write(obj, view)
            return obj

        stored, _ = await served.update(attributes, key, changed, self._strategy)
        return self._view(stored), False

    def _view(self, stored: Stored[T]) -> Stored[V]:
        view = self.read(stored.object)
        return Stored(stored.key, view, codec.encode(view), stored.revision)


class PostedSubresource(Subresource[T, V], ABC):
    """What is posted to an object and acts on it: a Binding, an Eviction, a TokenRequest."""

    def __init__(self, type: type[V]) -> None:
        super().__init__(("create",))
        self._kind = kind_of(type)

    def kind(self, info: ResourceInfo[T]) -> Kind[V]:
        return self._kind

    def discovered(self, resource: Resource) -> tuple[str, str, str]:
        return self._kind.group, self._kind.version, self._kind.name

    async def create(self, served: Served[T], attributes: Attributes, key: Key, obj: V) -> Stored[V] | None:
        name = obj.metadata.name
        if name and name != key.name:
            raise errors.BadRequest(f"name in URL does not match name in {self._kind.name} object")
        assert isinstance(served, Store)  # what is not stored has no subresources
        await served.judge(attributes, obj)
        answer = await self.post(served, attributes, key, obj)
        return Stored("", answer, codec.encode(answer), 0) if answer is not None else None

    @abstractmethod
    async def post(self, store: Store[T], attributes: Attributes, key: Key, obj: V) -> V | None:
        """Do what was posted; the answer, None for plain success."""


class ConnectSubresource(Subresource[T, KubeObject]):
    """A stream that a node, or the object itself, answers: ``log``, ``exec``, ``proxy``."""

    connects = True

    def __init__(self, verbs: Sequence[str], options: str = "") -> None:
        """``options`` is the kind of the options in the path; by default discovery names the object's kind."""
        super().__init__(verbs)
        self._options = options

    def discovered(self, resource: Resource) -> tuple[str, str, str]:
        return resource.group, resource.version, self._options or resource.kind


def proxy(options: str) -> ConnectSubresource[T]:
    """What an object serves itself."""
    return ConnectSubresource(PROXY_VERBS, options)
