"""Server-side apply: a document of fields merged into the object, unless another manager owns what would change.

The applier owns what its document names. What it named last time and no longer names is removed, unless another manager
owns it too. A value that another manager owns changes only with ``force``.
"""

from dataclasses import replace
from functools import reduce
from typing import Any

from apimachinery.errors import BadRequest, Conflict
from apimachinery.managed_fields import entries
from apimachinery.managed_fields.entries import Owner, Owners
from apimachinery.managed_fields.field_set import (
    MEMBER,
    Fields,
    difference,
    intersection,
    is_member,
    paths,
    tracked,
    union,
)
from apimachinery.managed_fields.walk import compare, element_key, everything, is_atomic, is_leaf, named
from apimachinery.patch.order import merged_order
from apimachinery.schema.shapes import UNTYPED, Form, Shape, shape_of
from apimachinery.types.meta_v1 import ManagedFieldsEntry, StatusCause, StatusDetails

_BEFORE: str = "before-first-apply"


def apply(
    live: dict[str, Any] | None,
    config: dict[str, Any],
    manager: str,
    *,
    definition: str | None,
    api_version: str,
    time: str,
    force: bool = False,
    subresource: str = "",
    reset: tuple[str, ...] = (),
) -> tuple[dict[str, Any], list[ManagedFieldsEntry]]:
    """``live`` (None: a creation) with ``config`` applied, and its ``managedFields``.

    All are builtins; no argument is changed. The caller applies defaults afterwards, and nobody owns those.

    Raises:
        BadRequest: the document names another version, carries managedFields, or has two elements of one key.
        Conflict: others own values that would change, and ``force`` is not set; one cause per field.
    """
    if config.get("apiVersion") != api_version:
        raise BadRequest(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {config.get('apiVersion') or ''}, expected: {api_version}"
        )
    if (config.get("metadata") or {}).get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    shape = shape_of(definition) if definition else UNTYPED
    base = live or {}
    owners = _owners(live, shape, api_version, time, reset)
    document = {key: value for key, value in config.items() if key not in reset}
    applied = named(shape, document)
    me = Owner(manager, "Apply", api_version, subresource, time, tracked(applied))
    before = owners.pop(me.identity, None)
    merged = _merge(shape, base, document)
    if before is not None:
        merged = _prune(shape, merged, before.fields, [applied, *(owner.fields for owner in owners.values())])
    changed, removed = compare(shape, base, merged)
    owners = _take(owners, tracked(changed, reset), removed, force=force)
    is_unchanged = before is not None and before.fields == me.fields and before.api_version == api_version
    if before is not None and is_unchanged and not changed and not removed:
        me = before
    owners[me.identity] = me
    return merged, entries.encode(owners.values())


def _owners(live: dict[str, Any] | None, shape: Shape, api_version: str, time: str, reset: tuple[str, ...]) -> Owners:
    """The owners so far. An object without entries is owned by ``before-first-apply``: taking fields over is a conflict."""
    if live is None:
        return {}
    owners = entries.decode(live.get("metadata", {}).get("managedFields"))
    if owners:
        return owners
    owned = tracked(everything(shape, live), reset)
    ancestor = Owner(_BEFORE, "Update", api_version, "", time, {k: v for k, v in owned.items() if k != "."})
    return {ancestor.identity: ancestor}


def _take(owners: Owners, changed: Fields, removed: Fields, *, force: bool) -> Owners:
    conflicts = {identity: intersection(owner.fields, changed) for identity, owner in owners.items()}
    if not force and any(conflicts.values()):
        raise _conflict([(owners[identity], fields) for identity, fields in conflicts.items() if fields])
    return {
        identity: replace(owner, fields=difference(difference(owner.fields, conflicts[identity]), removed))
        for identity, owner in owners.items()
    }


def _conflict(conflicts: list[tuple[Owner, Fields]]) -> Conflict:
    conflicts.sort(key=lambda conflict: str(conflict[0]))
    places = [(owner, path) for owner, fields in conflicts for path in paths(fields)]
    causes = [
        StatusCause(reason="FieldManagerConflict", message=f"conflict with {owner}", field=path)
        for owner, path in places
    ]
    if len(places) == 1:
        owner, path = places[0]
        message = f"Apply failed with 1 conflict: conflict with {owner}: {path}"
    else:
        lines = []
        for owner, fields in conflicts:
            lines += [f"conflicts with {owner}:", *(f"- {path}" for path in paths(fields))]
        message = f"Apply failed with {len(places)} conflicts: " + "\n".join(lines)
    return Conflict(message, details=StatusDetails(causes=causes))


def _merge(shape: Shape, live: Any, config: Any) -> Any:
    """``config`` merged into ``live``: maps and keyed lists merge, all else is replaced."""
    if type(live) is not type(config) or is_atomic(shape, config):
        return config
    if type(config) is dict:
        merged = dict(live)
        for key, value in config.items():
            merged[key] = _merge(shape.child(key), live[key], value) if key in live else value
        return merged
    return _merge_list(shape, live, config)


def _merge_list(shape: Shape, live: list[Any], config: list[Any]) -> list[Any]:
    configured = {element_key(shape, element): element for element in config}
    present: dict[str, list[Any]] = {}  # several elements of one key stay until a document names the key
    for element in live:
        present.setdefault(element_key(shape, element), []).append(element)
    order = merged_order(list(present), list(configured))
    merged: list[Any] = []
    for key in order:
        if key not in configured:
            merged += present[key]
        elif key in present:
            merged.append(_merge(shape.element, present[key][0], configured[key]))
        else:
            merged.append(configured[key])
    return merged


def _prune(shape: Shape, merged: Any, before: Fields, owned: list[Fields]) -> Any:
    """Remove what this applier named last time and nobody owns now, including structs left without an owner."""
    still_owned = _with_structs(shape, reduce(union, owned))
    dropped = difference(_with_structs(shape, before), still_owned)
    return _without(shape, merged, dropped) if dropped else merged


def _with_structs(shape: Shape, fields: Fields) -> Fields:
    """Struct fields that lead to members become members: they are owned as long as those are."""
    ensured: Fields = {}
    for key, node in fields.items():
        if key == ".":
            ensured[key] = node
            continue
        part = shape.child(key[2:]) if key[0] == "f" else shape.element
        below = _with_structs(part, node)
        is_field = shape.form is Form.STRUCT and key[2:] in shape.fields
        ensured[key] = {".": MEMBER, **below} if is_field and below else below
    return ensured


def _without(shape: Shape, value: Any, dropped: Fields) -> Any:
    """``value`` without the members of ``dropped`` and all that is below them."""
    if is_leaf(shape, value):
        return value
    if type(value) is dict:
        members: dict[str, Any] = {}
        for key, member in value.items():
            fields = dropped.get(f"f:{key}")
            if fields is None:
                members[key] = member
            elif not is_member(fields):
                members[key] = _without(shape.child(key), member, fields)
        return members
    rest = []
    for element in value:
        fields = dropped.get(element_key(shape, element))
        if fields is None:
            rest.append(element)
        elif not is_member(fields):
            rest.append(_without(shape.element, element, fields))
    return rest
