"""Identity, ownership and timestamps of objects: what ``metadata`` says."""

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

from apimachinery.types.meta_v1 import ObjectMeta, OwnerReference
from apimachinery.types.objects import KubeObject

_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


class Key(NamedTuple):
    """Identifies an object within its resource. ``namespace`` is empty for cluster-scoped objects."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def key_of(obj: KubeObject) -> Key:
    return Key(obj.metadata.namespace or "", obj.metadata.name or "")


def name_of(obj: KubeObject) -> str:
    return obj.metadata.name or ""


def namespace_of(obj: KubeObject) -> str:
    return obj.metadata.namespace or ""


def uid_of(obj: KubeObject) -> str:
    return obj.metadata.uid or ""


def labels_of(obj: KubeObject) -> dict[str, str]:
    """The labels; shared with the object, so read only."""
    return obj.metadata.labels or {}


def annotations_of(obj: KubeObject) -> dict[str, str]:
    """The annotations; shared with the object, so read only."""
    return obj.metadata.annotations or {}


def is_being_deleted(obj: KubeObject) -> bool:
    return obj.metadata.deletion_timestamp is not None


def controller_of(obj: KubeObject) -> OwnerReference | None:
    """The owner that manages this object, if one does."""
    return controller_reference(obj.metadata)


def controller_reference(metadata: ObjectMeta) -> OwnerReference | None:
    return next((ref for ref in metadata.owner_references or () if ref.controller), None)


def owner_reference(owner: KubeObject, *, controller: bool = True) -> OwnerReference:
    """A reference that makes ``owner`` the owner (with ``controller``, the managing one) of the object that has it."""
    return OwnerReference(
        api_version=owner.api_version or "",
        kind=owner.kind or "",
        name=name_of(owner),
        uid=uid_of(owner),
        controller=controller or None,
        block_owner_deletion=controller or None,
    )


def now() -> str:
    """The current time as ``metav1.Time`` writes it: RFC 3339 in UTC, whole seconds."""
    return format_time(datetime.now(UTC))


def now_micro() -> str:
    """The current time as ``metav1.MicroTime`` writes it."""
    return format_micro_time(datetime.now(UTC))


def format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def format_micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse_time(text: str) -> datetime:
    """A Time or MicroTime as a datetime with its zone.

    Raises:
        ValueError: ``text`` is not RFC 3339.
    """
    if not _RFC_3339.match(text):  # fromisoformat alone also accepts week dates and times without a zone
        raise ValueError(f"{text!r} is not a time of the form 2006-01-02T15:04:05Z")
    return datetime.fromisoformat(text)
