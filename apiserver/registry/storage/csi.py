"""Drivers of the container storage interface: their features, their nodes, their remaining capacity."""

from collections.abc import Iterator
from typing import Final

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types.base import Quantity
from apimachinery.types.storage_v1 import CSIDriver, CSINode, CSIStorageCapacity
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.core.resources_validation import canonical_amount, validate_quantity
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.workloads import SPEC

_GROUP_POLICIES: Final = ("File", "None", "ReadWriteOnceWithFSType")
_MODES: Final = ("Ephemeral", "Persistent")
_NAME_LIMIT: Final = 63


def driver_name(path: Path, name: str) -> Iterator[FieldError]:
    if not name:
        yield path.required()
        return
    if len(name) > _NAME_LIMIT:
        yield path.too_long(_NAME_LIMIT)
    yield from names.check(path, name.lower(), names.dns_subdomain)


class CSIDriverKind(Strategy[CSIDriver]):
    def default(self, obj: CSIDriver) -> None:
        spec = obj.spec
        if spec.attach_required is None:
            spec.attach_required = True
        for field in ("pod_info_on_mount", "requires_republish", "se_linux_mount", "storage_capacity"):
            if getattr(spec, field) is None:
                setattr(spec, field, False)
        spec.fs_group_policy = spec.fs_group_policy or "ReadWriteOnceWithFSType"
        spec.volume_lifecycle_modes = spec.volume_lifecycle_modes or ["Persistent"]

    def validate(self, obj: CSIDriver) -> Iterator[FieldError]:
        yield from driver_name(Path("metadata", "name"), obj.metadata.name or "")
        yield from field_rules.one_of(SPEC / "fsGroupPolicy", obj.spec.fs_group_policy, _GROUP_POLICIES)
        earlier: set[str] = set()
        for i, token in enumerate(obj.spec.token_requests or ()):
            path = (SPEC / "tokenRequests")[i]
            if token.audience in earlier:
                yield (path / "audience").duplicate(token.audience)
            earlier.add(token.audience)
            if token.expiration_seconds is not None and token.expiration_seconds < 600:
                yield (path / "expirationSeconds").invalid(
                    token.expiration_seconds, "may not specify a duration less than 10 minutes"
                )
        for mode in obj.spec.volume_lifecycle_modes or ():
            yield from field_rules.required(SPEC / "volumeLifecycleModes", mode, _MODES)

    def validate_update(self, obj: CSIDriver, old: CSIDriver) -> Iterator[FieldError]:
        yield from field_rules.immutable(SPEC, obj.spec, old.spec, "attach_required", "volume_lifecycle_modes")


CSI_DRIVERS = StoredResource(
    CSIDriver,
    CSIDriverKind(),
    singular="csidriver",
    columns=(
        columns.name(),
        Column("AttachRequired", lambda obj: bool(obj.spec.attach_required), type="boolean"),
        Column("PodInfoOnMount", lambda obj: bool(obj.spec.pod_info_on_mount), type="boolean"),
        Column("StorageCapacity", lambda obj: bool(obj.spec.storage_capacity), type="boolean"),
        Column(
            "TokenRequests",
            lambda obj: ",".join(request.audience for request in obj.spec.token_requests or ()) or "<unset>",
        ),
        Column("RequiresRepublish", lambda obj: bool(obj.spec.requires_republish), type="boolean"),
        Column("Modes", lambda obj: columns.joined(obj.spec.volume_lifecycle_modes or ())),
        columns.age(),
    ),
)


class CSINodeKind(Strategy[CSINode]):
    def validate(self, obj: CSINode) -> Iterator[FieldError]:
        earlier: set[str] = set()
        for i, driver in enumerate(obj.spec.drivers):
            path = (SPEC / "drivers")[i]
            yield from driver_name(path / "name", driver.name)
            if driver.name in earlier:
                yield (path / "name").duplicate(driver.name)
            earlier.add(driver.name)
            if not driver.node_id:
                yield (path / "nodeID").required()
            if driver.allocatable is not None:
                yield from field_rules.not_negative(path / "allocatable" / "count", driver.allocatable.count)
            for key in driver.topology_keys or ():
                yield from names.check(path / "topologyKeys", key, names.qualified_name)

    def validate_update(self, obj: CSINode, old: CSINode) -> Iterator[FieldError]:
        before = {driver.name: driver for driver in old.spec.drivers}
        for i, driver in enumerate(obj.spec.drivers):
            if driver.name in before and driver != before[driver.name]:
                yield (SPEC / "drivers")[i].invalid(driver.name, "field is immutable")


CSI_NODES = StoredResource(
    CSINode,
    CSINodeKind(),
    singular="csinode",
    columns=(
        columns.name(),
        Column("Drivers", lambda obj: len(obj.spec.drivers), type="integer"),
        columns.age(),
    ),
)


class CSIStorageCapacityKind(Strategy[CSIStorageCapacity]):
    def default(self, obj: CSIStorageCapacity) -> None:
        for field in ("capacity", "maximum_volume_size"):
            amount = getattr(obj, field)
            if amount is not None:
                setattr(obj, field, canonical_amount(amount))

    def validate(self, obj: CSIStorageCapacity) -> Iterator[FieldError]:
        if not obj.storage_class_name:
            yield Path("storageClassName").required()
        else:
            yield from names.check(Path("storageClassName"), obj.storage_class_name, names.dns_subdomain)
        yield from field_rules.validate_selector(Path("nodeTopology"), obj.node_topology)
        for field, amount in (("capacity", obj.capacity), ("maximumVolumeSize", obj.maximum_volume_size)):
            if amount is not None:
                yield from validate_quantity(Path(field), amount)

    def validate_update(self, obj: CSIStorageCapacity, old: CSIStorageCapacity) -> Iterator[FieldError]:
        yield from field_rules.immutable(Path(), obj, old, "node_topology", "storage_class_name")


def _amount(amount: Quantity | None) -> str:
    return "<unset>" if amount is None else str(amount)


CSI_STORAGE_CAPACITIES = StoredResource(
    CSIStorageCapacity,
    CSIStorageCapacityKind(),
    singular="csistoragecapacity",
    columns=(
        columns.name(),
        Column("StorageClassName", lambda obj: obj.storage_class_name),
        Column("Capacity", lambda obj: _amount(obj.capacity)),
    ),
)
