"""How bootstrap reads and writes: straight through the stores, as the apiserver itself.

Existing objects are looked up in the watch cache, so a pass over a complete cluster neither writes nor reads etcd.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.objects import KubeObject
from apiserver.registry.resources import Resources
from apiserver.registry.store import Store
from apiserver.request import Attributes, User

T = TypeVar("T", bound=KubeObject)

SELF: Final = User("system:apiserver", groups=("system:masters",))


class Objects:
    """The built-in kinds, each under its own type."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    async def find(self, type: type[T], key: Key) -> T | None:
        """The object as the cache has it; shared, so not to be changed."""
        store = self.resources.store(type)
        await store.cache.wait_until()
        return store.cached(key)

    async def ensure(self, obj: KubeObject) -> None:
        """Create the object if it does not exist."""
        key = meta.key_of(obj)
        if await self.find(type(obj), key) is None:
            store = self.resources.store(type(obj))
            try:
                await store.create(_attributes("create", store, key), codec.copy(obj))
            except errors.AlreadyExists:
                return

    async def put(self, obj: T) -> None:
        """Create the object, or make it what it should be. Labels that others set stay if ``obj`` has none."""
        store, key = self.resources.store(type(obj)), meta.key_of(obj)

        def change(current: T | None) -> T:
            changed = codec.copy(obj)
            if current is not None:
                changed.metadata = codec.copy(current.metadata)
                changed.metadata.labels = obj.metadata.labels or current.metadata.labels
            return changed

        await store.update(_attributes("update", store, key), key, change, may_create=True)

    async def reconcile(self, obj: T, merge: Callable[[T, T], T | None]) -> None:
        """Create the object if it does not exist; if it does, write what ``merge(existing, obj)`` returns.

        Args:
            merge: pure; None leaves the object as it is.
        """
        store, key = self.resources.store(type(obj)), meta.key_of(obj)
        existing = await self.find(type(obj), key)
        if existing is None:
            await self.ensure(obj)
        elif merge(existing, obj) is not None:

            def change(current: T | None) -> T:
                assert current is not None  # an update alone creates nothing
                return merge(current, obj) or codec.copy(current)

            await store.update(_attributes("update", store, key), key, change)

    async def replace(self, obj: T) -> None:
        """Remove the object and create it anew, for what an update may not change."""
        store, key = self.resources.store(type(obj)), meta.key_of(obj)
        stored = store.cache.get(store.info.storage_key(key))
        if stored is not None:
            await store.remove(stored)
        await store.create(_attributes("create", store, key), codec.copy(obj))


def _attributes(verb: str, store: Store[T], key: Key) -> Attributes:
    resource = store.info.resource
    return Attributes(
        user=SELF,
        verb=verb,
        path="",
        group=resource.group,
        version=resource.version,
        resource=resource.plural,
        namespace=key.namespace,
        name=key.name,
        field_manager="kube-apiserver",
    )
