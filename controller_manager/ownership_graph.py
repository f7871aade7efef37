"""Which object owns which, by UID, as far as the watches show. Pure bookkeeping."""

from dataclasses import dataclass
from typing import Final

from apimachinery import meta
from apimachinery.types.meta_v1 import OwnerReference
from apimachinery.types.objects import PartialObjectMetadata
from controller_manager.api_resources import ApiResource

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"


@dataclass(frozen=True)
class Item:
    """One object and the resource that holds it."""

    resource: ApiResource
    obj: PartialObjectMetadata

    @property
    def uid(self) -> str:
        return meta.uid_of(self.obj)

    @property
    def owners(self) -> list[OwnerReference]:
        return self.obj.metadata.owner_references or []

    def waits_for(self, finalizer: str) -> bool:
        """Whether it is being deleted, and remains until we remove this finalizer."""
        return meta.is_being_deleted(self.obj) and finalizer in (self.obj.metadata.finalizers or ())

    def blocks(self, owner_uid: str) -> bool:
        return any(owner.uid == owner_uid and owner.block_owner_deletion for owner in self.owners)

    def __str__(self) -> str:
        return f"{self.resource.scheme.plural} {meta.key_of(self.obj)}"


class OwnershipGraph:
    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._dependents: dict[str, set[str]] = {}

    def get(self, uid: str) -> Item | None:
        return self._items.get(uid)

    def put(self, item: Item) -> None:
        self.remove(item.uid)
        self._items[item.uid] = item
        for owner in item.owners:
            self._dependents.setdefault(owner.uid, set()).add(item.uid)

    def remove(self, uid: str) -> None:
        item = self._items.pop(uid, None)
        for owner in item.owners if item else ():
            dependents = self._dependents.get(owner.uid)
            if dependents is not None:
                dependents.discard(uid)
                if not dependents:
                    del self._dependents[owner.uid]

    def dependents(self, uid: str) -> list[Item]:
        return [self._items[dependent] for dependent in self._dependents.get(uid, ()) if dependent in self._items]

    def of_resource(self, resource: ApiResource) -> list[Item]:
        return [item for item in self._items.values() if item.resource == resource]
