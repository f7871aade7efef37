"""Fields of a document that no one asked for: unknown to the schema, or written twice.

Decoding into the typed objects drops both silently, so where ``fieldValidation`` is Warn or Strict the raw
document comes through here. The messages are Kubernetes', so that clients which read them keep working.
"""

import json
from typing import Any, Final

from apimachinery.errors import BadRequest
from apimachinery.schema.shapes import Form, Shape, shape_of

_MAX_FOUND: Final = 100  # a hostile document must not make a long answer


def unknown_and_duplicate(data: bytes, definition: str) -> list[str]:
    """What is wrong with a JSON document, in its order; empty for the usual one.

    Raises:
        BadRequest: not JSON.
    """
    repeated = False

    def as_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        made = dict(pairs)
        if len(made) != len(pairs):
            repeated = True
            made = _Repeating(pairs)
        return made

    try:
        document = json.loads(data, object_pairs_hook=as_dict)
    except (ValueError, RecursionError) as fault:
        raise BadRequest(f"the body is not valid JSON: {fault}") from fault
    return _found(document, shape_of(definition), repeated=repeated)


def strict_error(found: list[str]) -> BadRequest:
    """The error that ``fieldValidation=Strict`` ends in."""
    return BadRequest(f"strict decoding error: {', '.join(found)}")


def unknown(document: Any, definition: str) -> list[str]:
    """The fields of a parsed document that its definition does not know."""
    return _found(document, shape_of(definition))


def _found(document: Any, shape: Shape, *, repeated: bool = False) -> list[str]:
    try:
        return _locate(document, shape) if repeated or not _is_known(document, shape) else []
    except RecursionError as fault:
        raise BadRequest("the object is nested too deep") from fault


class _Repeating(dict[str, Any]):
    """A JSON object with keys that stand in it more than once; the last value counts, as everywhere."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _is_known(value: Any, shape: Shape) -> bool:
    """The usual document has nothing to tell, so this makes no paths."""
    form = shape.form
    if form is Form.STRUCT:
        if type(value) is dict:
            fields = shape.fields
            for key, one in value.items():
                field = fields.get(key)
                if field is None or not (field.is_simple or _is_known(one, field)):
                    return False
    elif form is Form.LIST:
        if type(value) is list and not (item := shape.element).is_simple:
            return all(_is_known(one, item) for one in value)
    elif form is Form.MAP and type(value) is dict and not (item := shape.element).is_simple:
        return all(_is_known(one, item) for one in value.values())
    return True


def _locate(value: Any, shape: Shape) -> list[str]:
    found: list[str] = []
    _walk(value, shape, "", found)
    return list(dict.fromkeys(found))[:_MAX_FOUND]


def _walk(value: Any, shape: Shape, path: str, found: list[str]) -> None:
    if isinstance(value, list):
        for index, one in enumerate(value):
            _walk(one, shape.element, f"{path}[{index}]", found)
    elif isinstance(value, dict):
        seen: set[str] = set()
        for key, one in value.pairs if isinstance(value, _Repeating) else value.items():
            place = f"{path}.{key}" if path else key
            first = key not in seen
            seen.add(key)
            if shape.form is Form.STRUCT and key not in shape.fields:
                if first:
                    found.append(f'unknown field "{place}"')
                continue
            if not first:
                found.append(f'duplicate field "{place}"')
            _walk(one, shape.child(key), place, found)
