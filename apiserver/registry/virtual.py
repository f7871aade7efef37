"""Resources that are not stored: posted and answered (reviews, the legacy bindings), or found out when asked for."""

from typing import Any, TypeVar, cast

from apimachinery import codec, errors, meta
from apimachinery.types.objects import KubeObject
from apiserver.admission import Plugin
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.store import Store
from apiserver.registry.versions import storage_for
from apiserver.request import Attributes
from apiserver.storage import Cache, Storage, Stored

T = TypeVar("T", bound=KubeObject)


class _Nothing:
    """The cache of a resource without objects."""

    is_loaded = True


class VirtualStore(Store[T]):
    """Only ``create`` works: the row's ``answer`` is what comes of it. The row's verbs keep others away."""

    def __init__(self, info: ResourceInfo[T], storage: Storage, admission: Plugin) -> None:
        self.info = info
        self.storage = storage
        self.admission = admission
        self.cache = cast("Cache[T]", _Nothing())
        self.bodies: dict[str, Any] = {}

    async def create(self, attributes: Attributes, obj: T) -> Stored[T]:
        """What is answered. Raises Invalid, and whatever the answer's making raises."""
        assert self.info.answer is not None
        if self.info.resource.namespaced:
            obj.metadata.namespace = attributes.namespace
        self.info.strategy.default(obj)
        resource, faults = self.info.resource, list(self.info.strategy.validate(obj))
        if faults:
            raise errors.invalid(resource.kind, resource.group, meta.name_of(obj), faults)
        await self.admission.admit(attributes, obj, None)
        await self.admission.validate(attributes, obj, None)
        answer = await self.info.answer(self, attributes, obj)
        return Stored("", answer, codec.encode(answer), 0)


class ComputedStore(VirtualStore[T]):
    """Objects that are found out when asked for; only to be read."""

    async def get(self, key: meta.Key) -> Stored[T]:
        """Raises NotFound."""
        for stored in await self.listed(key.namespace):
            if meta.key_of(stored.object) == key:
                return stored
        raise self.not_found(key)

    async def listed(self, namespace: str) -> list[Stored[T]]:
        """All of a namespace; of all namespaces where it is empty."""
        assert self.info.read is not None
        found = await self.info.read(namespace)
        return [Stored(self.info.storage_key(meta.key_of(one)), one, codec.encode(one), 0) for one in found]


def store_for(info: ResourceInfo[T], storage: Storage, admission: Plugin) -> Store[T]:
    """The store that serves a row: of its own objects, of another version's, or of none."""
    if info.read is not None:
        return ComputedStore(info, storage, admission)
    if info.answer is not None:
        return VirtualStore(info, storage, admission)
    return Store(info, storage_for(info, storage), admission)
