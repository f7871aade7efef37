"""Structural schemas: what apiextensions.k8s.io/v1 demands of the OpenAPI v3 schema of a custom resource.

Every value has a type, no construct of JSON schema is used that pruning could not follow, and ``anyOf`` and the like
only add rules about values. Expressions (x-kubernetes-validations) are stored, not compiled.
"""

from collections.abc import Iterator
from typing import Any, Final

from apimachinery.fields import FieldError, Path

Schema = dict[str, Any]

TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED: Final = ("additionalItems", "definitions", "dependencies", "id", "patternProperties", "$ref")
_JUNCTORS: Final = ("allOf", "anyOf", "oneOf")
_LIST_TYPES: Final = ("atomic", "map", "set")
_MAP_TYPES: Final = ("atomic", "granular")
_IN_METADATA: Final = {"name", "generateName"}
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_EITHER: Final = "x-kubernetes-int-or-string"
_EMBEDDED: Final = "x-kubernetes-embedded-resource"
_KEYS: Final = "x-kubernetes-list-map-keys"

# what a schema within anyOf and the like may not have, since it is not about values
_ABOUT_SHAPE: Final = (
    "description", "type", "default", "additionalProperties", "title", "nullable", _PRESERVE, _EMBEDDED,
    "x-kubernetes-list-type", _KEYS, "x-kubernetes-map-type",
)  # fmt: skip
_ROOT: Final = "must not be empty at the root"
_FIELD: Final = "must not be empty for specified object fields"
_ITEM: Final = "must not be empty for specified array items"
_VALUE: Final = "must not be empty for specified object fields"


def validate_schema(path: Path, root: Schema) -> Iterator[FieldError]:
    """Every fault of a schema, as it is in the definition. Clients choose the depth, so there is no recursion here."""
    if root.get("type") not in (None, "", "object"):
        yield (path / "type").invalid(root["type"], "must be object at the root")
    yield from _metadata(path / "properties", (root.get("properties") or {}).get("metadata"))
    pending: list[tuple[Path, Schema, str]] = [(path, root, _ROOT)]
    while pending:
        place, schema, untyped = pending.pop()
        yield from _typed(place, schema, untyped)
        yield from _supported(place, schema)
        yield from _extensions(place, schema)
        yield from _junctors(place, schema)
        pending += reversed(list(_children(place, schema)))


def _children(path: Path, schema: Schema) -> Iterator[tuple[Path, Schema, str]]:
    for name, child in (schema.get("properties") or {}).items():
        yield (path / "properties").key(name), child, _FIELD
    for field, untyped in (("additionalProperties", _VALUE), ("items", _ITEM)):
        if isinstance(child := schema.get(field), dict):
            yield path / field, child, untyped


def _typed(path: Path, schema: Schema, untyped: str) -> Iterator[FieldError]:
    kind = schema.get("type")
    if not kind:
        if not schema.get(_EITHER) and (untyped == _ROOT or not schema.get(_PRESERVE)):
            yield (path / "type").required(untyped)
    elif kind == "null":
        yield (path / "type").forbidden("type cannot be set to null, use nullable as an alternative")
    elif kind not in TYPES:
        yield (path / "type").not_supported(kind, TYPES)
    elif schema.get(_EITHER):
        yield (path / "type").invalid(kind, f"must be empty if {_EITHER} is true")
    if kind == "array" and schema.get("items") is None:
        yield (path / "items").required("must be specified")
    if schema.get(_EMBEDDED):
        if kind != "object":
            yield (path / "type").invalid(kind or "", f"must be object if {_EMBEDDED} is true")
        if schema.get("additionalProperties") is not None:
            yield (path / "additionalProperties").forbidden(f"must not be used if {_EMBEDDED} is set")
        if not schema.get("properties") and not schema.get(_PRESERVE):
            yield (path / "properties").required(f"must not be empty if {_EMBEDDED} is true without {_PRESERVE}")


def _supported(path: Path, schema: Schema) -> Iterator[FieldError]:
    for field in _UNSUPPORTED:
        if schema.get(field):
            yield (path / field).forbidden(f"{field} is not supported")
    if schema.get("uniqueItems"):
        yield (path / "uniqueItems").forbidden(
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        )
    if schema.get("additionalProperties") is False:
        yield (path / "additionalProperties").forbidden("additionalProperties cannot be set to false")
    if schema.get("additionalProperties") and schema.get("properties"):
        yield (path / "additionalProperties").forbidden("additionalProperties and properties are mutual exclusive")
    if isinstance(schema.get("items"), list):
        yield (path / "items").forbidden("items must be a schema object and not an array")


def _extensions(path: Path, schema: Schema) -> Iterator[FieldError]:
    if schema.get(_PRESERVE) is False:
        yield (path / _PRESERVE).invalid(False, "must be true or undefined")
    of_list, of_map, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-map-type"), schema.get(_KEYS)
    if of_list is not None:
        if of_list not in _LIST_TYPES:
            yield (path / "x-kubernetes-list-type").not_supported(of_list, _LIST_TYPES)
        if schema.get("type") != "array":
            yield (path / "type").invalid(
                schema.get("type") or "", "must be array if x-kubernetes-list-type is specified"
            )
    if of_map is not None:
        if of_map not in _MAP_TYPES:
            yield (path / "x-kubernetes-map-type").not_supported(of_map, _MAP_TYPES)
        if schema.get("type") != "object":
            yield (path / "type").invalid(
                schema.get("type") or "", "must be object if x-kubernetes-map-type is specified"
            )
    if of_list == "map":
        yield from _map_keys(path, schema, keys or [])
    elif keys:
        yield (path / "x-kubernetes-list-type").required(f"must be map if {_KEYS} is non-empty")


def _map_keys(path: Path, schema: Schema, keys: list[str]) -> Iterator[FieldError]:
    if not keys:
        yield (path / _KEYS).required("must not be empty if x-kubernetes-list-type is map")
    items = schema.get("items")
    if not isinstance(items, dict):
        return
    if items.get("type") != "object":
        yield (path / "items" / "type").invalid(
            items.get("type") or "", "must be object if parent array's x-kubernetes-list-type is map"
        )
    for i, key in enumerate(keys):
        if key in keys[:i]:
            yield (path / _KEYS)[i].duplicate(key)
        known = (items.get("properties") or {}).get(key)
        if known is None:
            yield (path / _KEYS)[i].invalid(key, "entries must all be names of item properties")
        elif key not in (items.get("required") or ()) and known.get("default") is None:
            yield ((path / "items" / "properties").key(key) / "default").required(
                f"this property is in {_KEYS}, so it must have a default or be a required property"
            )


def _junctors(path: Path, schema: Schema) -> Iterator[FieldError]:
    """Schemas within anyOf and the like may constrain values only; those of int-or-string, also its two types."""
    pending: list[tuple[Path, Schema]] = []
    for field in _JUNCTORS:
        for i, alternative in enumerate(schema.get(field) or ()):
            types = [other.get("type") for other in schema[field]]
            if schema.get(_EITHER) and sorted(filter(None, types)) == ["integer", "string"]:
                continue
            pending.append(((path / field)[i], alternative))
    if isinstance(schema.get("not"), dict):
        pending.append((path / "not", schema["not"]))
    while pending:
        place, alternative = pending.pop()
        for field in _ABOUT_SHAPE:
            if alternative.get(field):
                yield (place / field).forbidden("must be empty to be structural")
        for field in _JUNCTORS:
            pending += [((place / field)[i], other) for i, other in enumerate(alternative.get(field) or ())]
        if isinstance(alternative.get("not"), dict):
            pending.append((place / "not", alternative["not"]))
        pending += [(where, child) for where, child, _ in _children(place, alternative)]


def _metadata(path: Path, schema: Schema | None) -> Iterator[FieldError]:
    """The metadata of every kind is Kubernetes' own; a schema may only narrow the name."""
    if schema is None:
        return
    place = path.key("metadata")
    if schema.get("type") not in (None, "", "object"):
        yield (place / "type").invalid(schema["type"], "must be object")
    if set(schema.get("properties") or ()) - _IN_METADATA or schema.get("additionalProperties") is not None:
        yield place.forbidden(
            "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )
