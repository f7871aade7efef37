"""Unknown and duplicate fields of a document, for ``fieldValidation`` Warn and Strict.

Decoding into the typed objects drops both silently, so the raw document is checked. The messages are Kubernetes', since
clients read them.
"""

import json
from typing import Any, Final

from apimachinery import codec
from apimachinery.errors import BadRequest
from apimachinery.schema.shapes import Form, Shape, shape_of

_UNKNOWN: Final = 'unknown field "'
_MAX_PROBLEMS: Final = 100  # so that a hostile document does not cause a long answer


def unknown_and_duplicate(data: bytes, definition: str) -> list[str]:
    """The unknown and duplicate fields of a JSON document, in its order.

    Raises:
        BadRequest: not JSON.
    """
    repeated = False

    def as_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        fields = dict(pairs)
        if len(fields) != len(pairs):
            repeated = True
            fields = _Repeating(pairs)
        return fields

    try:
        document = json.loads(data, object_pairs_hook=as_dict)
    except (ValueError, RecursionError) as fault:
        codec.parse(data)  # says what is wrong
        raise BadRequest("the body is not valid JSON") from fault
    return _problems(document, shape_of(definition), repeated=repeated)


def strict_error(problems: list[str]) -> BadRequest:
    """The error of a request with ``fieldValidation=Strict``."""
    return BadRequest(f"strict decoding error: {', '.join(problems)}")


def unknown(document: Any, definition: str) -> list[str]:
    """The fields of a parsed document that its definition does not know."""
    return _problems(document, shape_of(definition))


def unknown_paths(document: Any, definition: str) -> list[str]:
    """The paths of those."""
    return [problem.removeprefix(_UNKNOWN)[:-1] for problem in unknown(document, definition)]


def _problems(document: Any, shape: Shape, *, repeated: bool = False) -> list[str]:
    problems: list[str] = []
    try:
        if repeated or not _is_known(document, shape):
            _walk(document, shape, "", problems)
        return list(dict.fromkeys(problems))[:_MAX_PROBLEMS]
    except RecursionError as fault:
        raise BadRequest("the object is nested too deep") from fault


class _Repeating(dict[str, Any]):
    """A JSON object with duplicate keys; the last value counts."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _is_known(value: Any, shape: Shape) -> bool:
    """Whether the schema knows every field. Builds no paths, since most documents are clean."""
    form = shape.form
    if form is Form.STRUCT:
        if type(value) is dict:
            fields = shape.fields
            for key, member in value.items():
                field = fields.get(key)
                if field is None or not (field.is_simple or _is_known(member, field)):
                    return False
    elif form is Form.LIST:
        if type(value) is list and not (item := shape.element).is_simple:
            return all(_is_known(element, item) for element in value)
    elif form is Form.MAP and type(value) is dict and not (item := shape.element).is_simple:
        return all(_is_known(member, item) for member in value.values())
    return True


def _walk(value: Any, shape: Shape, path: str, problems: list[str]) -> None:
    if isinstance(value, list):
        for index, element in enumerate(value):
            _walk(element, shape.element, f"{path}[{index}]", problems)
    elif isinstance(value, dict):
        earlier: set[str] = set()
        for key, member in value.pairs if isinstance(value, _Repeating) else value.items():
            place = f"{path}.{key}" if path else key
            is_duplicate = key in earlier
            earlier.add(key)
            if shape.form is Form.STRUCT and key not in shape.fields:
                if not is_duplicate:
                    problems.append(f'{_UNKNOWN}{place}"')
                continue
            if is_duplicate:
                problems.append(f'duplicate field "{place}"')
            _walk(member, shape.child(key), place, problems)
