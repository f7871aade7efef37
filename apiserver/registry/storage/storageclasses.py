"""Storage classes: where volumes come from."""

from collections.abc import Iterator
from typing import Final

from apimachinery import names
from apimachinery.core.well_known import DEFAULT_CLASS_ANNOTATIONS
from apimachinery.fields import FieldError, Path
from apimachinery.types.storage_v1 import StorageClass, VolumeAttributesClass
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy

_MOST_PARAMETERS: Final = 512
_PARAMETERS_LIMIT: Final = 256 * 1024


class StorageClassKind(Strategy[StorageClass]):
    def default(self, obj: StorageClass) -> None:
        obj.reclaim_policy = obj.reclaim_policy or "Delete"
        obj.volume_binding_mode = obj.volume_binding_mode or "Immediate"

    def validate(self, obj: StorageClass) -> Iterator[FieldError]:
        if not obj.provisioner:
            yield Path("provisioner").required()
        else:
            yield from names.check(Path("provisioner"), obj.provisioner.lower(), names.qualified_name)
        yield from _parameters(obj.parameters)
        yield from field_rules.one_of(Path("reclaimPolicy"), obj.reclaim_policy, ("Delete", "Retain"))
        yield from field_rules.required(
            Path("volumeBindingMode"), obj.volume_binding_mode, ("Immediate", "WaitForFirstConsumer")
        )

    def validate_update(self, obj: StorageClass, old: StorageClass) -> Iterator[FieldError]:
        for field, after, before in (
            ("parameters", obj.parameters, old.parameters),
            ("provisioner", obj.provisioner, old.provisioner),
            ("reclaimPolicy", obj.reclaim_policy, old.reclaim_policy),
        ):
            if after != before:
                yield Path(field).forbidden(f"updates to {field} are forbidden.")
        yield from field_rules.immutable(Path(), obj, old, "volume_binding_mode")


def _parameters(parameters: dict[str, str] | None) -> Iterator[FieldError]:
    path, size = Path("parameters"), 0
    for key, value in (parameters or {}).items():
        size += len(key.encode()) + len(value.encode())
        if not key:
            yield path.invalid(key, "field can not be empty.")
    if len(parameters or ()) > _MOST_PARAMETERS:
        yield path.too_long(_MOST_PARAMETERS)
    if size > _PARAMETERS_LIMIT:
        yield path.too_long(_PARAMETERS_LIMIT)


def _name(obj: StorageClass) -> str:
    annotations = obj.metadata.annotations or {}
    is_default = any(annotations.get(key) == "true" for key in DEFAULT_CLASS_ANNOTATIONS)
    return f"{obj.metadata.name} (default)" if is_default else obj.metadata.name or ""


STORAGE_CLASSES = StoredResource(
    StorageClass,
    StorageClassKind(),
    singular="storageclass",
    short_names=("sc",),
    columns=(
        Column("Name", _name, format="name"),
        Column("Provisioner", lambda obj: obj.provisioner),
        Column("ReclaimPolicy", lambda obj: obj.reclaim_policy or "Delete"),
        Column("VolumeBindingMode", lambda obj: obj.volume_binding_mode or "<unset>"),
        Column("AllowVolumeExpansion", lambda obj: bool(obj.allow_volume_expansion)),
        columns.age(),
    ),
)


class VolumeAttributesClassKind(Strategy[VolumeAttributesClass]):
    def validate(self, obj: VolumeAttributesClass) -> Iterator[FieldError]:
        if not obj.driver_name:
            yield Path("driverName").required()
        if not obj.parameters:
            yield Path("parameters").required("must contain at least one key/value pair")
        yield from _parameters(obj.parameters)

    def validate_update(self, obj: VolumeAttributesClass, old: VolumeAttributesClass) -> Iterator[FieldError]:
        yield from field_rules.immutable(Path(), obj, old, "driver_name", "parameters")


VOLUME_ATTRIBUTES_CLASSES = StoredResource(
    VolumeAttributesClass,
    VolumeAttributesClassKind(),
    singular="volumeattributesclass",
    short_names=("vac",),
    columns=(columns.name(), Column("DriverName", lambda obj: obj.driver_name), columns.age()),
)
