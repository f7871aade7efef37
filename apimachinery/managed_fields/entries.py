"""``metadata.managedFields``: who owns which fields since when."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from apimachinery.managed_fields.field_set import Fields, union
from apimachinery.types.meta_v1 import ManagedFieldsEntry

MAX_UPDATERS: Final = 10
_ANCIENT: Final = "ancient-changes"
_SORTED: Final = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Owner:
    """One entry. ``operation`` is Apply or Update, ``time`` RFC 3339 or empty."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: Fields

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """An applier is the same over all API versions, an updater is not."""
        version = "" if self.operation == "Apply" else self.api_version
        return (self.manager, self.operation, version, self.subresource)

    def __str__(self) -> str:
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


Owners = dict[tuple[str, str, str, str], Owner]


def decode(entries: Any) -> Owners | None:
    """The owners that builtins of ``managedFields`` name; None when they are malformed."""
    owners: Owners = {}
    if not isinstance(entries, list):
        return owners
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("operation") not in ("Apply", "Update"):
            return None
        if entry.get("fieldsType") != "FieldsV1" or not _well_formed(fields := entry.get("fieldsV1") or {}):
            return None
        owner = Owner(
            manager=entry.get("manager") or "",
            operation=entry["operation"],
            api_version=entry.get("apiVersion") or "",
            subresource=entry.get("subresource") or "",
            time=entry.get("time") or "",
            fields=fields,
        )
        owners[owner.identity] = owner
    return owners


def _well_formed(fields: Any) -> bool:
    """Whether a client sent a valid set: each key is ``.`` or ``kind:name``, each value another set."""
    if type(fields) is not dict:
        return False
    return all((key == "." or key[1:2] == ":") and _well_formed(below) for key, below in fields.items())


def asks_for_reset(entries: Any) -> bool:
    """``managedFields: [{}]`` removes all owners; an empty list does not, by design."""
    return isinstance(entries, list) and len(entries) == 1 and not entries[0]


def encode(owners: Iterable[Owner]) -> list[ManagedFieldsEntry]:
    """Appliers first, then by time, as Kubernetes sorts them; owners without fields are left out."""
    owning = [owner for owner in owners if owner.fields]
    owning.sort(key=lambda owner: (owner.operation, owner.time, owner.manager, owner.api_version, owner.subresource))
    return [
        ManagedFieldsEntry(
            manager=owner.manager,
            operation=owner.operation,
            api_version=owner.api_version,
            subresource=owner.subresource or None,
            time=owner.time or None,
            fields_type="FieldsV1",
            fields_v1=msgspec.Raw(_SORTED.encode(owner.fields)),
        )
        for owner in owning
    ]


def capped(owners: Owners) -> Owners:
    """At most MAX_UPDATERS updaters: the oldest of each version are merged into ``ancient-changes``."""
    updaters = [owner for owner in owners.values() if owner.operation == "Update" and owner.fields]
    surplus = len(updaters) - MAX_UPDATERS
    if surplus <= 0:
        return owners
    result = dict(owners)
    first: dict[str, Owner] = {}
    for owner in sorted(updaters, key=lambda owner: (owner.time, owner.manager)):
        if surplus <= 0:
            break
        oldest = first.get(owner.api_version)
        if oldest is None:
            first[owner.api_version] = owner
            continue
        del result[oldest.identity], result[owner.identity]
        bucket = replace(owner, manager=_ANCIENT, subresource="", fields=union(oldest.fields, owner.fields))
        result[bucket.identity] = first[owner.api_version] = bucket
        surplus -= 1
    return result
