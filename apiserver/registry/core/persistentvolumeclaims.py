"""Persistent volume claims: storage that pods ask for."""

from collections.abc import Iterator
from typing import Final

from apimachinery import codec, quantity
from apimachinery.core.persistent_volumes import class_of
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import (
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    PersistentVolumeClaimStatus,
    TypedLocalObjectReference,
    TypedObjectReference,
    VolumeResourceRequirements,
)
from apiserver.registry import columns
from apiserver.registry.columns import Column, wide
from apiserver.registry.core.claim_validation import validate_claim
from apiserver.registry.core.resources_validation import canonical, validate_amounts
from apiserver.registry.core.volume_columns import access_text
from apiserver.registry.field_rules import one_of
from apiserver.registry.status_rules import STATUS
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource

_SPEC: Final = Path("spec")


def default_claim(obj: PersistentVolumeClaim) -> None:
    """The defaults of claims and of claim templates."""
    obj.status.phase = obj.status.phase or "Pending"
    default_claim_spec(obj.spec)


def default_claim_spec(spec: PersistentVolumeClaimSpec) -> None:
    spec.volume_mode = spec.volume_mode or "Filesystem"
    if spec.resources is None:
        spec.resources = VolumeResourceRequirements()
    canonical(spec.resources.requests)
    canonical(spec.resources.limits)


class PersistentVolumeClaimKind(Strategy[PersistentVolumeClaim]):
    def default(self, obj: PersistentVolumeClaim) -> None:
        default_claim(obj)
        _same_source(obj.spec)

    def prepare_for_create(self, obj: PersistentVolumeClaim) -> None:
        obj.status = PersistentVolumeClaimStatus(phase="Pending")

    def prepare_for_update(self, obj: PersistentVolumeClaim, old: PersistentVolumeClaim) -> None:
        obj.status = old.status

    def validate(self, obj: PersistentVolumeClaim) -> Iterator[FieldError]:
        yield from validate_claim(_SPEC, obj.spec)

    def validate_update(self, obj: PersistentVolumeClaim, old: PersistentVolumeClaim) -> Iterator[FieldError]:
        """A claim may be bound once; bound, it may grow."""
        unchanged = codec.copy(obj.spec)
        if not old.spec.volume_name:
            unchanged.volume_name = old.spec.volume_name
        unchanged.volume_attributes_class_name = old.spec.volume_attributes_class_name
        before, after = _asked(old.spec), _asked(obj.spec)
        may_grow = old.status.phase == "Bound"
        if may_grow and unchanged.resources is not None and old.spec.resources is not None:
            unchanged.resources.requests = old.spec.resources.requests
        if unchanged != old.spec:
            yield _SPEC.forbidden(
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
                "claims"
            )
        elif may_grow and after < before:
            yield (_SPEC / "resources" / "requests" / "storage").forbidden("field can not be less than status.capacity")


def _asked(spec: PersistentVolumeClaimSpec) -> int:
    try:
        return quantity.value(((spec.resources and spec.resources.requests) or {}).get("storage", 0))
    except ValueError:
        return 0


def _same_source(spec: PersistentVolumeClaimSpec) -> None:
    """``dataSource`` and ``dataSourceRef`` are two spellings of the same field unless another namespace is referred to."""
    source, ref = spec.data_source, spec.data_source_ref
    if source is not None and ref is None:
        spec.data_source_ref = TypedObjectReference(api_group=source.api_group, kind=source.kind, name=source.name)
    elif ref is not None and source is None and not ref.namespace:
        spec.data_source = TypedLocalObjectReference(api_group=ref.api_group, kind=ref.kind, name=ref.name)


def _bound(obj: PersistentVolumeClaim, text: str) -> str:
    """A property of the volume, once there is one."""
    return text if obj.spec.volume_name else ""


_KIND = PersistentVolumeClaimKind()


class PersistentVolumeClaimStatusStrategy(StatusStrategy[PersistentVolumeClaim]):
    def validate_update(self, obj: PersistentVolumeClaim, old: PersistentVolumeClaim) -> Iterator[FieldError]:
        yield from super().validate_update(obj, old)
        yield from one_of(STATUS / "phase", obj.status.phase, ("Bound", "Lost", "Pending"))
        yield from validate_amounts(STATUS / "capacity", obj.status.capacity)


PERSISTENT_VOLUME_CLAIMS = StoredResource(
    PersistentVolumeClaim,
    _KIND,
    singular="persistentvolumeclaim",
    short_names=("pvc",),
    columns=(
        columns.name(),
        Column(
            "Status", lambda obj: "Terminating" if obj.metadata.deletion_timestamp else obj.status.phase or "Pending"
        ),
        Column("Volume", lambda obj: obj.spec.volume_name or ""),
        Column("Capacity", lambda obj: _bound(obj, str((obj.status.capacity or {}).get("storage", "0")))),
        Column("Access Modes", lambda obj: _bound(obj, access_text(obj.status.access_modes))),
        Column("StorageClass", lambda obj: class_of(obj)),
        Column("VolumeAttributesClass", lambda obj: obj.spec.volume_attributes_class_name or "<unset>"),
        columns.age(),
        wide("VolumeMode", lambda obj: obj.spec.volume_mode or "<unset>"),
    ),
    subresources={
        "status": ObjectSubresource(PersistentVolumeClaimStatusStrategy(_KIND)),
    },
)
