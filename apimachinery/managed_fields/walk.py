"""From objects to sets of fields: what a document names, and in what two versions of an object differ.

The schema says which lists merge by key and which maps are atomic. Where it does not know a field, the fields of maps
are owned separately and lists as a whole.
"""

from functools import cache, lru_cache
from typing import Any, Final

from apimachinery import codec
from apimachinery.errors import BadRequest
from apimachinery.managed_fields.field_set import MEMBER, Fields, below
from apimachinery.schema.definitions import Definition, always_written, definitions, target
from apimachinery.schema.shapes import UNTYPED, Form, Shape

_ABSENT: Final = object()
_PLAIN: Final = frozenset((str, int, bool, float, type(None)))


class _Same(list[Any]):
    """Elements with the same key, which are owned as a whole."""


# Bounded: the names and values are the users', object identities among them.
@lru_cache(maxsize=8192)
def _field(name: str) -> str:
    return f"f:{name}"


@lru_cache(maxsize=8192)
def _string_key(name: str, value: str) -> str:
    return f'k:{{"{name}":{codec.encode(value).decode()}}}'


def element_key(shape: Shape, element: Any) -> str:
    """The path element that names one element of a list: ``k:{...}`` or ``v:...``."""
    if not shape.keys or not isinstance(element, dict):
        return f"v:{codec.encode(element).decode()}"
    if len(shape.keys) == 1:
        name, default = shape.keys[0]
        value = element.get(name, default)
        if type(value) is str:
            return _string_key(name, value)
    named = {name: element.get(name, default) for name, default in shape.keys}
    return f"k:{codec.encode({k: v for k, v in named.items() if v is not None}).decode()}"


def is_atomic(shape: Shape, value: Any) -> bool:
    """Whether a value is owned as a whole, even if it has parts."""
    if shape.atomic:
        return True
    if type(value) is dict:
        return shape.form is Form.LIST or shape.form is Form.SCALAR
    return type(value) is not list or not (shape.keys or shape.is_set)


def is_leaf(shape: Shape, value: Any) -> bool:
    """Whether a value has no parts with separate owners."""
    return not value or is_atomic(shape, value)


def _elements(shape: Shape, values: list[Any]) -> dict[str, Any]:
    indexed: dict[str, Any] = {}
    for value in values:
        key = element_key(shape, value)
        if key in indexed:
            present = indexed[key]
            indexed[key] = _Same([*present, value] if type(present) is _Same else [present, value])
        else:
            indexed[key] = value
    return indexed


def _parts(shape: Shape, value: Any) -> list[tuple[str, Shape, Any]]:
    """What a value that is not a leaf consists of: path element, shape and value of each part."""
    if type(value) is dict:
        child = shape.child
        return [(_field(key), child(key), part) for key, part in value.items()]
    element = shape.element
    return [(key, UNTYPED if type(part) is _Same else element, part) for key, part in _elements(shape, value).items()]


def everything(shape: Shape, value: Any) -> Fields:
    """The fields of a value that is new as a whole: every place on the way is a member."""
    if is_leaf(shape, value):
        return MEMBER
    fields: Fields = {".": MEMBER}
    if type(value) is dict:
        child = shape.child
        for name, part in value.items():
            # most values are plain, so this avoids most calls
            fields[_field(name)] = MEMBER if type(part) in _PLAIN else everything(child(name), part)
        return fields
    for key, part_shape, part in _parts(shape, value):
        fields[key] = everything(part_shape, part)
    return fields


def named(shape: Shape, value: Any) -> Fields:
    """The fields that an applied document names: the leaves, the elements of lists and the keys of maps.

    Raises:
        BadRequest: a list has two elements of one key.
    """
    fields: Fields = {}
    in_list = type(value) is list
    for key, part_shape, part in _parts(shape, value):
        if type(part) is _Same:
            raise BadRequest(f"failed to create typed patch object: duplicate entries for key {key}")
        if part == [] and not is_atomic(part_shape, part):
            continue  # an empty list that merges by key names no field
        part_fields = MEMBER if is_leaf(part_shape, part) else named(part_shape, part)
        if part_fields and (in_list or shape.form is not Form.STRUCT):
            part_fields = {".": MEMBER, **part_fields}
        fields[key] = part_fields
    return fields


def compare(shape: Shape, old: Any, new: Any) -> tuple[Fields, Fields]:
    """What ``new`` adds or changes, and what it lacks; both values are maps or lists of ``shape``."""
    changed: Fields = {}
    removed: Fields = {}
    if type(new) is dict:
        olds: dict[str, Any] = old
        news: dict[str, Any] = new
        in_map = True
    else:
        olds, news = _elements(shape, old), _elements(shape, new)
        in_map = False
    for name, value in news.items():
        before = olds.get(name, _ABSENT)
        if before is not _ABSENT and before == value and type(before) is type(value):
            continue
        key, part = (_field(name), shape.child(name)) if in_map else (name, shape.element)
        if before is _ABSENT:
            changed[key] = _new_fields(part, value)
        else:
            _compare_part(key, part, before, value, changed, removed)
    for name, value in olds.items():
        if name not in news:
            key, part = (_field(name), shape.child(name)) if in_map else (name, shape.element)
            removed[key] = _new_fields(part, value)
    return changed, removed


def _new_fields(shape: Shape, value: Any) -> Fields:
    return everything(UNTYPED if type(value) is _Same else shape, value)


def _compare_part(key: str, shape: Shape, old: Any, new: Any, changed: Fields, removed: Fields) -> None:
    both_empty = not old and not new
    if type(old) is not type(new) or both_empty or (is_leaf(shape, old) and is_leaf(shape, new)):
        changed[key] = _new_fields(shape, new)
        if lost := below(_new_fields(shape, old)):  # parts that had separate owners are gone
            removed[key] = lost
        return
    added, lost = compare(shape, old, new)
    if added:
        changed[key] = added
    if lost:
        removed[key] = lost


@cache
def blank(definition: str) -> dict[str, Any]:
    """The object before it is created: Go's empty struct, whose fields nobody owns. Shared, so do not change it."""
    return {name: _zero(definitions()[definition]["properties"][name]) for name in always_written(definition)}


def _zero(field: Definition) -> Any:
    if (name := target(field)) is not None:
        return blank(name) if "properties" in definitions()[name] else None
    match field.get("type"):
        case "array":
            return []
        case "object":
            return {}
        case "boolean":
            return False
        case "integer" | "number":
            return 0
    return ""
