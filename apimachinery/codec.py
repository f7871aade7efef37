"""Objects to JSON and back. Decoding checks the structure; validation checks the values."""

from typing import Any, Final, TypeVar

import msgspec

from apimachinery import malformed
from apimachinery.errors import BadRequest
from apimachinery.nulls import without_nulls

T = TypeVar("T")

_ENCODER: Final = msgspec.json.Encoder()
_BUILTINS: Final = msgspec.json.Decoder()


class _Decoders(dict[Any, msgspec.json.Decoder[Any]]):
    """One decoder per type, made on first use."""

    def __missing__(self, cls: Any) -> msgspec.json.Decoder[Any]:
        decoder = self[cls] = msgspec.json.Decoder(cls)
        return decoder


_decoders: Final = _Decoders()


def encode(value: Any) -> bytes:
    """JSON of an object, or of builtins."""
    return _ENCODER.encode(value)


def decode(data: bytes, cls: type[T]) -> T:
    """The object that JSON describes; unknown fields are ignored, ``null`` counts as absent.

    Raises:
        BadRequest: not JSON, or a value of the wrong type; the message names the field.
    """
    try:
        return _decoded(data, cls)
    except msgspec.ValidationError as fault:
        raise BadRequest(f"the object cannot be read as a {cls.__name__}: {malformed.mismatch(fault)}") from fault
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadRequest(f"the body is not valid JSON: {malformed.syntax(fault)}") from fault


def _decoded(data: bytes, cls: type[T]) -> T:
    try:
        decoded: T = _decoders[cls].decode(data)
    except msgspec.ValidationError:
        if b"null" not in data:
            raise
        decoded = _decoders[cls].decode(encode(without_nulls(_BUILTINS.decode(data), cls)))
    return decoded


def to_builtins(value: Any) -> Any:
    """Dicts, lists and scalars, as JSON would have them."""
    return _BUILTINS.decode(_ENCODER.encode(value))


def parse(data: bytes) -> Any:
    """JSON into builtins.

    Raises:
        BadRequest: not JSON.
    """
    try:
        return _BUILTINS.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadRequest(f"the body is not valid JSON: {malformed.syntax(fault)}") from fault


class Mismatch(ValueError):
    """A value of the wrong type: its field, and what it must be."""


def convert(value: Any, cls: type[T]) -> T:
    """As ``from_builtins``. Raises Mismatch instead, which says nothing of the object as a whole."""
    try:
        return _decoded(encode(value), cls)
    except msgspec.ValidationError as fault:
        raise Mismatch(malformed.mismatch(fault)) from fault


def from_builtins(value: Any, cls: type[T]) -> T:
    """The object that builtins describe.

    Raises:
        BadRequest: a value of the wrong type; the message names the field.
    """
    return decode(encode(value), cls)


def copy(value: T) -> T:
    """A deep copy that may be changed; objects from a cache are shared and must not be."""
    copied: T = _decoders[type(value)].decode(_ENCODER.encode(value))
    return copied


def lower_names(document: Any) -> dict[str, Any]:
    """A JSON object with the names of its fields in lower case: Go's encoding/json reads names in any case.

    For the few documents that are no API objects, whose names are exact (sigs.k8s.io/json). Raises ValueError for
    anything but an object.
    """
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return {name.lower(): value for name, value in document.items()}
