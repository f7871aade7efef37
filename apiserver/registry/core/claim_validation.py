"""The rules that claims and volumes share, and the whole spec of a claim.

Claims stand alone, in a stateful set's templates, and in a pod's ephemeral volumes.
"""

from collections.abc import Iterator
from typing import Final

from apimachinery import names, quantity
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import PersistentVolumeClaimSpec
from apiserver.registry import field_rules
from apiserver.registry.core.resources_validation import validate_quantity
from apiserver.registry.core.volume_columns import ACCESS_MODES

VOLUME_MODES: Final = ("Block", "Filesystem")


def access_modes(path: Path, modes: list[str] | None, missing: str = "") -> Iterator[FieldError]:
    if not modes:
        yield path.required(missing)
    for mode in modes or ():
        if mode not in ACCESS_MODES:
            yield path.not_supported(mode, sorted(ACCESS_MODES))
    if "ReadWriteOncePod" in (modes or ()) and len(set(modes or ())) > 1:
        yield path.forbidden("may not use ReadWriteOncePod with other access modes")


def validate_claim(path: Path, spec: PersistentVolumeClaimSpec) -> Iterator[FieldError]:
    """Every fault of a claim's spec, or of a template's."""
    yield from access_modes(path / "accessModes", spec.access_modes, "at least 1 access mode is required")
    yield from field_rules.validate_selector(path / "selector", spec.selector)
    requests = (spec.resources.requests if spec.resources else None) or {}
    storage = (path / "resources").key("storage")
    if "storage" not in requests:
        yield storage.required()
    else:
        faults = list(validate_quantity(storage, requests["storage"]))
        yield from faults
        if not faults and quantity.parse(requests["storage"]) <= 0:
            yield storage.invalid(str(requests["storage"]), "must be greater than zero")
    if spec.storage_class_name:
        yield from names.check(path / "storageClassName", spec.storage_class_name, names.dns_subdomain)
    yield from field_rules.one_of(path / "volumeMode", spec.volume_mode, VOLUME_MODES)
    for field, source in (("dataSource", spec.data_source), ("dataSourceRef", spec.data_source_ref)):
        if source is not None:
            for part, value in (("name", source.name), ("kind", source.kind)):
                if not value:
                    yield (path / field / part).required()
