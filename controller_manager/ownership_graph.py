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

    def is_named_by(self, reference: OwnerReference, dependent: "Item") -> bool:
        """Whether a dependent's reference means this object, and it can own the dependent."""
        named = (group_of(reference), reference.kind, reference.name, reference.uid)
        scheme, key = self.resource.scheme, meta.key_of(self.obj)
        in_reach = key.namespace in ("", meta.namespace_of(dependent.obj))
        return in_reach and named == (scheme.group, scheme.kind, key.name, self.uid)

    def blocks(self, owner: "Item") -> bool:
        """Whether the owner's deletion in the foreground has to wait for this object's."""
        return any(
            ref.uid == owner.uid and ref.block_owner_deletion and owner.is_named_by(ref, self) for ref in self.owners
        )

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

    def waiting_on(self, item: Item) -> list[Item]:
        """All that are being deleted in the foreground and wait for this item: its owners, theirs ..."""
        waiting: dict[str, Item] = {}
        blocked = [item]
        while blocked:
            dependent = blocked.pop()
            for reference in dependent.owners:
                owner = self._items.get(reference.uid)
                if owner is None or owner.uid in waiting:
                    continue
                if owner.waits_for(FOREGROUND) and dependent.blocks(owner):
                    waiting[owner.uid] = owner
                    blocked.append(owner)
        return [*waiting.values()]

    def of_resource(self, resource: ApiResource) -> list[Item]:
        return [item for item in self._items.values() if item.resource == resource]


def group_of(reference: OwnerReference) -> str:
    """The API group of the kind that a reference names."""
    return reference.api_version.rpartition("/")[0]
