"""Strategic merge: a merge patch that knows from the schema how to merge each list.

Lists with a merge key merge element by element, lists of scalars with strategy ``merge`` as sets; all others
are replaced. Directives steer the rest: ``$patch``, ``$retainKeys``, ``$setElementOrder/<list>`` and
``$deleteFromPrimitiveList/<list>``. The rules are those of Kubernetes' ``strategicpatch`` package, order of
elements included.
"""

from collections.abc import Hashable
from typing import Any, Final, NoReturn

from apimachinery import codec
from apimachinery.errors import BadRequest, Invalid
from apimachinery.patch.order import identity, interleave, places, sorted_like
from apimachinery.schema.shapes import Shape, shape_of

_PATCH: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_ORDER: Final = "$setElementOrder/"
_DELETE: Final = "$deleteFromPrimitiveList/"

Map = dict[str, Any]


def apply(current: Map, patch: Map, definition: str) -> Map:
    """``current`` with the patch merged in; neither is changed, unchanged parts are shared.

    Raises:
        BadRequest: a directive is malformed.
        Invalid: the patch does not fit, for instance an element lacks its merge key.
    """
    return _merge_map(current, patch, shape_of(definition))


def _merge_map(current: Map, patch: Map, shape: Shape) -> Map:
    if _PATCH in patch:
        return _directed(patch)
    merged, patch = dict(current), dict(patch)
    _retain_keys(merged, patch)
    _order_lists(merged, patch, shape)
    for key in sorted(patch, key=lambda name: not name.startswith(_DELETE)):  # what is both deleted and added stays
        if key.startswith(_DELETE):
            _delete_scalars(merged, key.removeprefix(_DELETE), patch[key])
        elif patch[key] is None:
            merged.pop(key, None)
        else:
            _merge_value(merged, key, patch[key], shape.child(key))
    return merged


def _directed(patch: Map) -> Map:
    match patch[_PATCH]:
        case "replace":
            replaced: Map = _plain({key: value for key, value in patch.items() if key != _PATCH})
            return replaced
        case "delete":
            return {}
    _fault(f"Unknown patch type: {_word(patch[_PATCH])} in map: {_text(patch)}")


def _merge_value(merged: Map, key: str, value: Any, shape: Shape) -> None:
    present = merged.get(key)
    if isinstance(value, dict) and _PATCH in value and not isinstance(present, dict):
        merged.pop(key, None)  # no map to act on: as in Kubernetes, not even "replace" adds one
    elif isinstance(present, dict) and isinstance(value, dict):
        merged[key] = _plain(value) if shape.strategy == "replace" else _merge_map(present, value, shape)
    elif isinstance(present, list) and isinstance(value, list):
        merged[key] = _merge_list(present, value, shape) if shape.strategy == "merge" else _plain(value)
    else:
        merged[key] = _plain(value)


def _plain(value: Any) -> Any:
    """A patch's value where the object has none: without nulls in maps and without directives."""
    if isinstance(value, dict):
        return {
            key: _plain(member)
            for key, member in value.items()
            if member is not None and not _is_directive(key) and not (isinstance(member, dict) and _PATCH in member)
        }
    if isinstance(value, list):
        return [_plain(element) for element in value if not (isinstance(element, dict) and _PATCH in element)]
    return value


def _is_directive(key: str) -> bool:
    return key == _RETAIN or key.startswith((_ORDER, _DELETE))


def _merge_list(present: list[Any], patch: list[Any], shape: Shape) -> list[Any]:
    if not present and not patch:
        return present
    if _element_type(present, patch) is not dict:
        values = [*present, *patch]
        merged = [values[index] for index in places(values, "").values()]  # without duplicates
        return _ordered(merged, patch, present, "")
    if not shape.merge_key:
        _fault(f"cannot merge lists without merge key for type {shape.element.name or 'map'}")
    present, patch = _special_elements(present, patch, shape.merge_key)
    merged = _merge_elements(present, patch, shape)
    return _ordered(merged, patch, present, shape.merge_key)


def _special_elements(present: list[Map], patch: list[Map], key: str) -> tuple[list[Map], list[Map]]:
    """Apply the elements with ``$patch``; the rest of both lists is returned, to be merged as usual."""
    ordinary, replace = [], False
    deleted = set()
    for element in patch:
        match element.get(_PATCH):
            case None:
                ordinary.append(element)
            case "delete":
                _key_of(element, key)
                deleted.add(identity(element, key))
            case "replace":
                replace = True
            case "merge":
                _fault("merging lists cannot yet be specified in the patch")
            case unknown:
                _fault(f"Unknown patch type: {_word(unknown)} in map: {_text(element)}")
    if replace:
        return [], [_plain(element) for element in ordinary]
    return [element for element in present if identity(element, key) not in deleted], ordinary


def _merge_elements(present: list[Map], patch: list[Map], shape: Shape) -> list[Map]:
    merged = list(present)
    place = places(merged, shape.merge_key)
    for element in patch:
        _key_of(element, shape.merge_key)
        index = place.setdefault(identity(element, shape.merge_key), len(merged))
        if index < len(merged):
            merged[index] = _merge_map(merged[index], element, shape.element)
        else:
            merged.append(_plain(element))
    return merged


def _ordered(merged: list[Any], ordered: list[Any], present: list[Any], key: str) -> list[Any]:
    """The patch's elements in its order, the others in theirs, interleaved by the order of the live list."""
    if key:
        for element in (*merged, *ordered, *present):
            _key_of(element, key)
    place = places(ordered, key)
    named = [element for element in merged if identity(element, key) in place]
    rest = [element for element in merged if identity(element, key) not in place]
    return interleave(sorted_like(present, rest, key), sorted_like(ordered, named, key), present, key)


def _retain_keys(merged: Map, patch: Map) -> None:
    if _RETAIN not in patch:
        return
    retained = patch.pop(_RETAIN)
    named = {key for key, value in patch.items() if value is not None and not key.startswith((_ORDER, _DELETE))}
    if not isinstance(retained, list) or not named <= {key for key in retained if isinstance(key, str)}:
        raise BadRequest("invalid patch format of retainKeys")
    for key in [key for key in merged if key not in retained]:
        del merged[key]


def _order_lists(merged: Map, patch: Map, shape: Shape) -> None:
    """Lists with ``$setElementOrder`` merge here, and are taken out of the patch."""
    for directive in [key for key in patch if key.startswith(_ORDER)]:
        order, name = patch.pop(directive), directive.removeprefix(_ORDER)
        present, change = merged.get(name), patch.get(name)
        if not (isinstance(order, list) and isinstance(change, list | None) and isinstance(present, list | None)):
            raise BadRequest("invalid patch format of setElementOrder list")
        if present is None and change is None:
            continue
        field = shape.child(name)
        key = field.merge_key
        _check_order(change or [], order, key)
        if f"{_DELETE}{name}" in patch:
            _delete_scalars(merged, name, patch.pop(f"{_DELETE}{name}"))
            present = merged.get(name)
        patch.pop(name, None)
        if present is None or change is None:
            combined = present if change is None else _plain(change)
        else:
            combined = _merge_list(present, change, field) if field.strategy == "merge" else _plain(change)
        merged[name] = _ordered(combined or [], order, present or [], key)


def _check_order(change: list[Any], order: list[Any], key: str) -> None:
    """The patch's elements must all be in the order list, and in its order."""
    if not order:
        return
    elements = [element for element in change if not (isinstance(element, dict) and _PATCH in element)]
    at = 0
    for element in order:
        if at < len(elements) and _checked(elements[at], key) == _checked(element, key):
            at += 1
    if at < len(elements):
        _fault(f"The order in patch list: {_text(change)} doesn't match $setElementOrder list: {_text(order)}")


def _delete_scalars(merged: Map, name: str, deleted: Any) -> None:
    if not isinstance(deleted, list) or not name:
        raise BadRequest("invalid patch format of primitive list")
    present = merged.get(name)
    if isinstance(present, list):
        removed = places(deleted, "")
        merged[name] = [element for element in present if identity(element, "") not in removed]


def _checked(element: Any, key: str) -> Hashable:
    if key:
        _key_of(element, key)
    return identity(element, key)


def _key_of(element: Any, key: str) -> Any:
    if not isinstance(element, dict):
        _fault(f"expected a map with merge key {key}, found {_text(element)}")
    if key not in element:
        _fault(f"map: {_text(element)} does not contain declared merge key: {key}")
    return element[key]


def _element_type(*lists: list[Any]) -> type:
    kinds = {type(element) for elements in lists for element in elements}
    if list in kinds:
        _fault("lists of lists are not supported")
    if len(kinds) > 1:
        _fault("list element types are not identical")
    return kinds.pop()


def _text(value: Any) -> str:
    return codec.encode(value).decode()


def _word(value: Any) -> str:
    return value if isinstance(value, str) else _text(value)


def _fault(why: str) -> NoReturn:
    raise Invalid(why)
