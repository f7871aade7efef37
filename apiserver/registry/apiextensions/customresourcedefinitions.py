"""Custom resource definitions: kinds that users define. Stored and validated; not served yet."""

from collections.abc import Iterator
from typing import Final

from apimachinery import codec, names
from apimachinery.core import conditions
from apimachinery.fields import FieldError, Path
from apimachinery.types.apiextensions_v1 import (
    CustomResourceConversion,
    CustomResourceDefinition,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec,
    CustomResourceDefinitionStatus,
    CustomResourceDefinitionVersion,
)
from apiserver.registry import field_rules
from apiserver.registry.apiextensions.structural import validate_schema
from apiserver.registry.default_columns import DEFAULT_COLUMNS
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource
from apiserver.registry.workloads import SPEC

SCOPES: Final = ("Cluster", "Namespaced")
_STRATEGIES: Final = ("None", "Webhook")
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")


class CustomResourceDefinitionKind(Strategy[CustomResourceDefinition]):
    counts_generations = True

    def default(self, obj: CustomResourceDefinition) -> None:
        spec = obj.spec
        if spec.names.singular is None:
            spec.names.singular = spec.names.kind.lower()
        spec.names.list_kind = spec.names.list_kind or f"{spec.names.kind}List"
        spec.conversion = spec.conversion or CustomResourceConversion(strategy="None")
        webhook = spec.conversion.webhook
        service = webhook.client_config.service if webhook and webhook.client_config else None
        if service is not None and service.port is None:
            service.port = 443

    def prepare_for_create(self, obj: CustomResourceDefinition) -> None:
        stored = [version.name for version in obj.spec.versions if version.storage]
        accepted = CustomResourceDefinitionNames()  # written even before the names are accepted
        obj.status = CustomResourceDefinitionStatus(accepted_names=accepted, stored_versions=stored)

    def prepare_for_update(self, obj: CustomResourceDefinition, old: CustomResourceDefinition) -> None:
        obj.status = old.status
        stored = {version.name for version in obj.spec.versions if version.storage}
        known = old.status.stored_versions or []
        if not stored <= set(known):  # objects may be stored in any version that ever was the stored one
            obj.status = CustomResourceDefinitionStatus(
                accepted_names=old.status.accepted_names,
                conditions=old.status.conditions,
                observed_generation=old.status.observed_generation,
                stored_versions=[*known, *sorted(stored - set(known))],
            )

    def validate(self, obj: CustomResourceDefinition) -> Iterator[FieldError]:
        spec = obj.spec
        name = f"{spec.names.plural}.{spec.group}"
        if obj.metadata.name != name:
            yield Path("metadata", "name").invalid(obj.metadata.name, 'must be spec.names.plural+"."+spec.group')
        if not spec.group:
            yield (SPEC / "group").required()
        else:
            yield from names.check(SPEC / "group", spec.group, names.dns_subdomain)
            if "." not in spec.group:
                yield (SPEC / "group").invalid(spec.group, "should be a domain with at least one dot")
        yield from field_rules.required(SPEC / "scope", spec.scope, SCOPES)
        if spec.preserve_unknown_fields:
            yield (SPEC / "preserveUnknownFields").invalid(True, "must be false in order to use defaults in the schema")
        yield from _names(SPEC / "names", spec.names)
        yield from _versions(spec)
        yield from _conversion(spec)

    def validate_update(self, obj: CustomResourceDefinition, old: CustomResourceDefinition) -> Iterator[FieldError]:
        yield from field_rules.immutable(SPEC, obj.spec, old.spec, "group")
        if conditions.is_true(old.status.conditions, "Established"):
            yield from field_rules.immutable(SPEC, obj.spec, old.spec, "scope")
            yield from field_rules.immutable(SPEC / "names", obj.spec.names, old.spec.names, "kind", "plural")
        served = {version.name for version in obj.spec.versions}
        for i, version in enumerate(obj.status.stored_versions or ()):
            if version not in served:
                yield Path("status", "storedVersions")[i].invalid(version, "must appear in spec.versions")


def _names(path: Path, spec: CustomResourceDefinitionNames) -> Iterator[FieldError]:
    for field, value in (("plural", spec.plural), ("singular", spec.singular)):
        if not value:
            yield (path / field).required()
        else:
            yield from names.check(path / field, value, names.dns_label_1035)
    for field, value in (("kind", spec.kind), ("listKind", spec.list_kind)):
        if not value:
            yield (path / field).required()
        else:
            yield from names.check(path / field, value.lower(), names.dns_label_1035)
    if spec.kind and spec.kind == spec.list_kind:
        yield (path / "listKind").invalid(spec.list_kind, "kind and listKind may not be the same")
    for field, words in (("shortNames", spec.short_names), ("categories", spec.categories)):
        for i, word in enumerate(words or ()):
            yield from names.check((path / field)[i], word, names.dns_label_1035)


def _versions(spec: CustomResourceDefinitionSpec) -> Iterator[FieldError]:
    path, version_names = SPEC / "versions", set[str]()
    if not spec.versions:
        yield path.required("must have at least one version")
        return
    for i, version in enumerate(spec.versions):
        if version.name in version_names:
            yield (path[i] / "name").duplicate(version.name)
        version_names.add(version.name)
        yield from _version(path[i], version)
    if sum(version.storage for version in spec.versions) != 1:
        yield path.invalid(sorted(version_names), "must have exactly one version marked as storage version")
    yield from _schemas(spec)


def _schemas(spec: CustomResourceDefinitionSpec) -> Iterator[FieldError]:
    """A schema that all versions share is named once, as if it stood beside them, as Kubernetes does."""
    schemas = [version.schema.open_apiv3_schema if version.schema else None for version in spec.versions]
    if all(schema is not None and schema == schemas[0] for schema in schemas):
        yield from validate_schema(SPEC / "validation" / "openAPIV3Schema", codec.to_builtins(schemas[0]))
        return
    for i, schema in enumerate(schemas):
        if schema is not None:
            place = (SPEC / "versions")[i] / "schema" / "openAPIV3Schema"
            yield from validate_schema(place, codec.to_builtins(schema))


def _version(path: Path, version: CustomResourceDefinitionVersion) -> Iterator[FieldError]:
    yield from names.check(path / "name", version.name, names.dns_label_1035)
    schema = version.schema.open_apiv3_schema if version.schema else None
    if schema is None:
        yield (path / "schema" / "openAPIV3Schema").required("schemas are required")
    if not version.deprecated and version.deprecation_warning is not None:
        yield (path / "deprecationWarning").invalid(
            version.deprecation_warning, "can only be set for deprecated versions"
        )
    for i, column in enumerate(version.additional_printer_columns or ()):
        place = (path / "additionalPrinterColumns")[i]
        if not column.name:
            yield (place / "name").required()
        yield from field_rules.required(place / "type", column.type, _COLUMN_TYPES)
        if not column.json_path:
            yield (place / "jsonPath").required()
        elif not column.json_path.startswith("."):
            yield (place / "jsonPath").invalid(column.json_path, "must be a simple json path starting with .")
    scale = version.subresources.scale if version.subresources else None
    if scale is not None:
        place = path / "subresources" / "scale"
        for field, value, root in (
            ("specReplicasPath", scale.spec_replicas_path, ".spec"),
            ("statusReplicasPath", scale.status_replicas_path, ".status"),
        ):
            if not value:
                yield (place / field).required()
            elif not value.startswith(f"{root}."):
                yield (place / field).invalid(value, f"should be a json path under {root}")


def _conversion(spec: CustomResourceDefinitionSpec) -> Iterator[FieldError]:
    conversion, path = spec.conversion, SPEC / "conversion"
    if conversion is None:
        return
    yield from field_rules.required(path / "strategy", conversion.strategy, _STRATEGIES)
    if conversion.strategy == "Webhook":
        if conversion.webhook is None or conversion.webhook.client_config is None:
            yield (path / "webhook" / "clientConfig").required("required when strategy is set to Webhook")
        if conversion.webhook is not None and not conversion.webhook.conversion_review_versions:
            yield (path / "webhook" / "conversionReviewVersions").required()
    elif conversion.webhook is not None:
        yield (path / "webhook").forbidden("should not be set when strategy is not set to Webhook")


_KIND = CustomResourceDefinitionKind()

CUSTOM_RESOURCE_DEFINITIONS = StoredResource(
    CustomResourceDefinition,
    _KIND,
    singular="customresourcedefinition",
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    columns=DEFAULT_COLUMNS,
    subresources={"status": ObjectSubresource(StatusStrategy[CustomResourceDefinition](_KIND))},
)
