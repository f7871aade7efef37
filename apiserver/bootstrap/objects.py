"""How bootstrap reads and writes: straight through the stores, as the apiserver itself.

What is there already is looked up in the watch cache, so a pass over a finished cluster writes and asks nothing.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.objects import KubeObject
from apiserver.handlers.table import ResourceTable
from apiserver.registry.store import Store
from apiserver.request import Attributes, User

T = TypeVar("T", bound=KubeObject)

SELF: Final = User("system:apiserver", groups=("system:masters",))


class Objects:
    """The built-in kinds by group and plural; all of them are in version v1."""

    def __init__(self, table: ResourceTable) -> None:
        self.table = table

    def store(self, group: str, plural: str) -> Store[Any]:
        store = self.table.find(group, "v1", plural)
        assert store is not None
        return store

    async def find(self, group: str, plural: str, key: Key) -> Any | None:
        """The object as the cache has it; shared, so not to be changed."""
        store = self.store(group, plural)
        await store.cache.wait_until()
        stored = store.cache.get(store.info.storage_key(key))
        return stored.object if stored is not None else None

    async def ensure(self, group: str, plural: str, obj: KubeObject) -> None:
        """Make the object if it is not there."""
        key = meta.key_of(obj)
        if await self.find(group, plural, key) is None:
            try:
                await self.store(group, plural).create(_attributes("create", group, plural, key), codec.copy(obj))
            except errors.AlreadyExists:
                return

    async def put(self, group: str, plural: str, obj: T) -> None:
        """Make the object, or make it what it should be."""
        key = meta.key_of(obj)
        await self.store(group, plural).update(
            _attributes("update", group, plural, key),
            key,
            lambda current: _carrying(current, obj),
            may_create=True,
        )

    async def reconcile(self, group: str, plural: str, obj: T, merge: Callable[[T, T], T | None]) -> None:
        """Make the object if it is not there; if it is, write what ``merge(what is there, obj)`` makes of it.

        Args:
            merge: pure; None says that what is there will do.
        """
        key = meta.key_of(obj)
        found = await self.find(group, plural, key)
        if found is None:
            await self.ensure(group, plural, obj)
        elif merge(found, obj) is not None:

            def change(current: T | None) -> T:
                assert current is not None  # an update alone makes nothing
                return merge(current, obj) or codec.copy(current)

            await self.store(group, plural).update(_attributes("update", group, plural, key), key, change)

    async def replace(self, group: str, plural: str, obj: KubeObject) -> None:
        """Take away what is there and make it anew, for what an update may not change."""
        store, key = self.store(group, plural), meta.key_of(obj)
        stored = store.cache.get(store.info.storage_key(key))
        if stored is not None:
            await store.remove(stored)
        await store.create(_attributes("create", group, plural, key), codec.copy(obj))


def _carrying(current: T | None, obj: T) -> T:
    """A private copy of ``obj`` under the identity of what is there."""
    wanted = codec.copy(obj)
    if current is not None:
        wanted.metadata = codec.copy(current.metadata)
        wanted.metadata.labels = obj.metadata.labels or current.metadata.labels
    return wanted


def _attributes(verb: str, group: str, plural: str, key: Key) -> Attributes:
    return Attributes(
        user=SELF,
        verb=verb,
        path="",
        group=group,
        version="v1",
        resource=plural,
        namespace=key.namespace,
        name=key.name,
        field_manager="kube-apiserver",
    )
