"""Persistent volumes: storage that outlives pods."""

from collections.abc import Iterator
from typing import Final

from apimachinery.core.persistent_volumes import class_of
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import PersistentVolume, PersistentVolumeSpec, PersistentVolumeStatus
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column, wide
from apiserver.registry.core.affinity_validation import validate_node_selector
from apiserver.registry.core.claim_validation import VOLUME_MODES, access_modes
from apiserver.registry.core.pod_defaults import default_sources
from apiserver.registry.core.resources_validation import canonical, validate_quantity
from apiserver.registry.core.volume_columns import access_text
from apiserver.registry.core.volume_validation import validate_source
from apiserver.registry.field_rules import one_of
from apiserver.registry.status_rules import STATUS
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource

PHASES: Final = ("Available", "Bound", "Failed", "Pending", "Released")
RECLAIM_POLICIES: Final = ("Delete", "Recycle", "Retain")
_SPEC: Final = Path("spec")
_NOT_SOURCES: Final = (
    "access_modes", "capacity", "claim_ref", "mount_options", "node_affinity", "persistent_volume_reclaim_policy",
    "storage_class_name", "volume_attributes_class_name", "volume_mode",
)  # fmt: skip


class PersistentVolumeKind(Strategy[PersistentVolume]):
    def default(self, obj: PersistentVolume) -> None:
        spec = obj.spec
        obj.status.phase = obj.status.phase or "Pending"
        spec.persistent_volume_reclaim_policy = spec.persistent_volume_reclaim_policy or "Retain"
        spec.volume_mode = spec.volume_mode or "Filesystem"
        canonical(spec.capacity)
        default_sources(spec)

    def prepare_for_create(self, obj: PersistentVolume) -> None:
        obj.status = PersistentVolumeStatus(phase="Pending")

    def prepare_for_update(self, obj: PersistentVolume, old: PersistentVolume) -> None:
        obj.status = old.status

    def validate(self, obj: PersistentVolume) -> Iterator[FieldError]:
        yield from validate_spec(_SPEC, obj.spec)

    def validate_update(self, obj: PersistentVolume, old: PersistentVolume) -> Iterator[FieldError]:
        if _source(obj.spec) != _source(old.spec):
            yield _SPEC.forbidden("spec.persistentvolumesource is immutable after creation")
        yield from field_rules.immutable(_SPEC, obj.spec, old.spec, "volume_mode")
        if old.spec.node_affinity is not None:
            yield from field_rules.immutable(_SPEC, obj.spec, old.spec, "node_affinity")


def _source(spec: PersistentVolumeSpec) -> list[object]:
    return [getattr(spec, field) for field in spec.__struct_fields__ if field not in _NOT_SOURCES]


def validate_spec(path: Path, spec: PersistentVolumeSpec) -> Iterator[FieldError]:
    yield from access_modes(path / "accessModes", spec.access_modes)
    if not spec.capacity:
        yield (path / "capacity").required()
    elif set(spec.capacity) != {"storage"}:
        yield (path / "capacity").not_supported(sorted(spec.capacity), ("storage",))
    for name, amount in (spec.capacity or {}).items():
        yield from validate_quantity((path / "capacity").key(name), amount)
    yield from field_rules.one_of(
        path / "persistentVolumeReclaimPolicy", spec.persistent_volume_reclaim_policy, RECLAIM_POLICIES
    )
    yield from field_rules.one_of(path / "volumeMode", spec.volume_mode, VOLUME_MODES)
    sources = field_rules.set_fields(spec, *_NOT_SOURCES)
    if not sources:
        yield path.required("must specify a volume type")
    for extra in sources[1:]:
        yield (path / extra).forbidden("may not specify more than 1 volume type")
    yield from _places(path, spec)


def _places(path: Path, spec: PersistentVolumeSpec) -> Iterator[FieldError]:
    """The source, and the nodes from which it can be reached."""
    for field in (
        name for name in spec.__struct_fields__ if name not in _NOT_SOURCES and getattr(spec, name) is not None
    ):
        yield from validate_source(path, spec, field)
        break
    if (
        spec.host_path is not None
        and spec.host_path.path == "/"
        and (spec.persistent_volume_reclaim_policy == "Recycle")
    ):
        yield (path / "persistentVolumeReclaimPolicy").forbidden("may not be 'recycle' for a hostPath mount of '/'")
    if spec.local is not None and spec.node_affinity is None:
        yield (path / "nodeAffinity").required("Local volume requires node affinity")
    if spec.csi is not None and not spec.csi.volume_handle:
        yield (path / "csi" / "volumeHandle").required()
    affinity = spec.node_affinity
    if affinity is not None:
        if affinity.required is None:
            yield (path / "nodeAffinity" / "required").required("must specify required node constraints")
        else:
            yield from validate_node_selector(path / "nodeAffinity" / "required", affinity.required)


def _claim(obj: PersistentVolume) -> str:
    return field_rules.reference_text(obj.spec.claim_ref)


_KIND = PersistentVolumeKind()


class PersistentVolumeStatusStrategy(StatusStrategy[PersistentVolume]):
    def validate_update(self, obj: PersistentVolume, old: PersistentVolume) -> Iterator[FieldError]:
        yield from super().validate_update(obj, old)
        yield from one_of(STATUS / "phase", obj.status.phase, PHASES)


PERSISTENT_VOLUMES = StoredResource(
    PersistentVolume,
    _KIND,
    singular="persistentvolume",
    short_names=("pv",),
    columns=(
        columns.name(),
        Column("Capacity", lambda obj: str((obj.spec.capacity or {}).get("storage", ""))),
        Column("Access Modes", lambda obj: access_text(obj.spec.access_modes)),
        Column("Reclaim Policy", lambda obj: obj.spec.persistent_volume_reclaim_policy),
        Column(
            "Status", lambda obj: "Terminating" if obj.metadata.deletion_timestamp else obj.status.phase or "Pending"
        ),
        Column("Claim", _claim),
        Column("StorageClass", lambda obj: class_of(obj)),
        Column("VolumeAttributesClass", lambda obj: obj.spec.volume_attributes_class_name or "<unset>"),
        Column("Reason", lambda obj: obj.status.reason or ""),
        columns.age(),
        wide("VolumeMode", lambda obj: obj.spec.volume_mode or "<unset>"),
    ),
    subresources={"status": ObjectSubresource(PersistentVolumeStatusStrategy(_KIND))},
)
