"""RFC 6902: a list of operations, applied one after the other or not at all."""

import copy
from typing import Any, Final

import jsonpatch
import msgspec
from jsonpointer import JsonPointer, JsonPointerException

from apimachinery import codec
from apimachinery.errors import BadRequest, Invalid, RequestEntityTooLarge

MAX_OPERATIONS: Final = 10_000
MAX_POINTER: Final = 4096
"""Characters of a path: several times what the longest key of an annotation needs."""

_MAX_COPIED: Final = 3 * 1024 * 1024  # bytes: ``copy`` could double a document with every operation
_COPIED_OF_SMALL: Final = 64 * 1024  # of a small document not even that: a few operations would make it large

_NEEDS: Final = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "from"),
    "copy": ("path", "from"),
    "test": ("path", "value"),
}
_ORDERED: Final = msgspec.json.Encoder(order="sorted")


def apply(current: Any, operations: Any) -> Any:
    """``current`` after the operations; neither argument is changed.

    Raises:
        BadRequest: not a list of well-formed operations.
        RequestEntityTooLarge: more than MAX_OPERATIONS, or copies that add up to several times the document.
        Invalid: an operation does not fit the document, or a ``test`` failed.
    """
    if not isinstance(operations, list):
        raise BadRequest("a JSON patch is a list of operations")
    if len(operations) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    document, copied = copy.deepcopy(current), 0
    may_copy = min(_COPIED_OF_SMALL + 8 * len(codec.encode(current)), _MAX_COPIED)
    for operation in copy.deepcopy(operations):
        _check(operation)
        if operation["op"] == "copy":
            copied += _size(document, operation["from"])
            if copied > may_copy:
                raise RequestEntityTooLarge(
                    f"the copies of a JSON patch add up to more than {may_copy} bytes, which is the limit for this object"
                )
        document = _step(document, operation)
    return document


def _check(operation: Any) -> None:
    if not isinstance(operation, dict):
        raise BadRequest(f"not an operation of a JSON patch: {_text(operation)}")
    name = operation.get("op")
    if not isinstance(name, str) or name not in _NEEDS:
        raise BadRequest(f"{_text(operation)}: op must be one of {', '.join(_NEEDS)}")
    for member in _NEEDS[name]:
        if member not in operation:
            raise BadRequest(f"{_text(operation)}: {name} needs {member!r}")
    for pointer in ("path", "from"):
        if pointer in _NEEDS[name]:
            _pointer(operation[pointer], operation)


def _pointer(text: Any, operation: Any) -> JsonPointer:
    if isinstance(text, str) and len(text) > MAX_POINTER:
        raise BadRequest(f"a path of a JSON patch has {len(text)} characters; {MAX_POINTER} are allowed")
    try:
        return JsonPointer(text)
    except (JsonPointerException, TypeError) as fault:
        raise BadRequest(f"{_text(operation)}: {fault}") from fault


def _step(document: Any, operation: dict[str, Any]) -> Any:
    try:
        if operation["op"] == "test":
            return _test(document, operation)
        return jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError, ValueError, RecursionError) as fault:
        raise Invalid(f"the server rejected our request due to an error in our request: {fault}") from fault


def _test(document: Any, operation: dict[str, Any]) -> Any:
    """The ``test`` operation by JSON's rules: the library takes ``true`` and ``1`` for equal."""
    value = JsonPointer(operation["path"]).resolve(document)
    if _ORDERED.encode(value) != _ORDERED.encode(operation["value"]):
        raise jsonpatch.JsonPatchTestFailed(f"testing value {operation['path']} failed")
    return document


def _size(document: Any, source: str) -> int:
    """How many bytes a ``copy`` adds; 0 if its source is missing, which the operation itself reports."""
    try:
        return len(codec.encode(JsonPointer(source).resolve(document)))
    except (JsonPointerException, TypeError, ValueError):
        return 0


def _text(value: Any) -> str:
    return codec.encode(value).decode()[:1024]
