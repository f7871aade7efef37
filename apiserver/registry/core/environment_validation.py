"""A container's environment, and what of a pod or a container can be referred to: in variables and in downward files."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from apimachinery import names, quantity
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apiserver.registry import field_rules

VARIABLE_FIELDS: Final = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
FILE_FIELDS: Final = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_LABELS: Final = {*VARIABLE_FIELDS, *FILE_FIELDS}
"""Fields that there are at all; each place takes some of them."""

_RESOURCES: Final = tuple(
    sorted(f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory"))
)
_BYTES: Final = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_DIVISORS: Final = {"cpu": ("1m", "1"), "memory": _BYTES, "ephemeral-storage": _BYTES}


def validate_environment(path: Path, variables: Iterable[v1.EnvVar]) -> Iterator[FieldError]:
    for i, variable in enumerate(variables):
        if not variable.name:
            yield (path[i] / "name").required()
        else:
            yield from names.check(path[i] / "name", variable.name, names.env_name)
        if variable.value_from is not None:
            yield from _source(path[i] / "valueFrom", variable.value_from, has_value=bool(variable.value))


def _source(path: Path, source: v1.EnvVarSource, *, has_value: bool) -> Iterator[FieldError]:
    if has_value:
        yield path.invalid("", "may not be specified when `value` is not empty")
    sources = field_rules.set_fields(source)
    if not sources:
        yield path.invalid(
            "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        )
    elif len(sources) > 1:
        yield path.invalid("", "may not have more than one field specified at a time")
    for field, ref in (("configMapKeyRef", source.config_map_key_ref), ("secretKeyRef", source.secret_key_ref)):
        if ref is not None:
            yield from names.check(path / field / "name", ref.name or "", names.dns_subdomain)
            if not ref.key:
                yield (path / field / "key").required()
            else:
                yield from names.check(path / field / "key", ref.key, names.config_key)
    if source.field_ref is not None:
        yield from validate_field_ref(path / "fieldRef", source.field_ref, VARIABLE_FIELDS)
    if source.resource_field_ref is not None:
        yield from validate_resource_ref(path / "resourceFieldRef", source.resource_field_ref)


def validate_environment_sources(path: Path, sources: Iterable[v1.EnvFromSource]) -> Iterator[FieldError]:
    for i, source in enumerate(sources):
        if source.prefix:
            yield from names.check(path[i] / "prefix", source.prefix, names.env_name)
        refs = [
            (field, ref)
            for field, ref in (("configMapRef", source.config_map_ref), ("secretRef", source.secret_ref))
            if ref is not None
        ]
        if not refs:
            yield path[i].invalid("", "must specify one of: `configMapRef` or `secretRef`")
        elif len(refs) > 1:
            yield path[i].invalid("", "may not have more than one field specified at a time")
        for field, ref in refs:
            if not ref.name:
                yield (path[i] / field / "name").required()
            else:
                yield from names.check(path[i] / field / "name", ref.name, names.dns_subdomain)


def validate_field_ref(path: Path, ref: v1.ObjectFieldSelector, allowed: Collection[str]) -> Iterator[FieldError]:
    """A field of the pod: one of ``allowed``, or one label or annotation (``metadata.labels['app']``)."""
    place = path / "fieldPath"
    if not ref.field_path:
        yield place.required()
        return
    if ref.api_version not in (None, "v1"):
        yield place.invalid(ref.field_path, f"error converting fieldPath: unsupported pod version: {ref.api_version}")
        return
    field, opens, subscript = ref.field_path.partition("['")
    if opens and subscript.endswith("']"):
        key = subscript.removesuffix("']")
        if field not in ("metadata.annotations", "metadata.labels"):
            yield place.invalid(ref.field_path, "does not support subscript")
        else:
            yield from names.check(place, key.lower() if field == "metadata.annotations" else key, names.qualified_name)
    elif ref.field_path not in _LABELS:
        yield place.invalid(ref.field_path, f"error converting fieldPath: field label not supported: {ref.field_path}")
    elif ref.field_path not in allowed:
        yield place.not_supported(ref.field_path, sorted(allowed))


def validate_resource_ref(
    path: Path, ref: v1.ResourceFieldSelector, *, names_container: bool = False
) -> Iterator[FieldError]:
    """A limit or request of a container, which a file has to name."""
    if names_container and not ref.container_name:
        yield (path / "containerName").required()
    elif not ref.resource:
        yield (path / "resource").required()
    elif ref.resource not in _RESOURCES and ".hugepages-" not in ref.resource:
        yield (path / "resource").not_supported(ref.resource, _RESOURCES)
    else:
        yield from _divisor(path / "divisor", ref)


def _divisor(path: Path, ref: v1.ResourceFieldSelector) -> Iterator[FieldError]:
    resource = ref.resource.partition(".")[2]
    allowed = _DIVISORS.get(resource, _BYTES)
    try:
        divisor = quantity.parse(ref.divisor or 0)
    except ValueError as fault:
        yield path.invalid(ref.divisor, str(fault))
        return
    if divisor and divisor not in map(quantity.parse, allowed):
        listed = " and ".join(allowed) if len(allowed) == 2 else ", ".join(allowed)
        yield path.invalid(ref.resource, f"only divisor's values {listed} are supported with the {resource} resource")
