"""What ``null`` means in a document, by Go's rules: a field is absent, an element or map value is zero.

Only documents that fail to decode come here, so the usual ones pay nothing.
"""

import types
import typing
from functools import cache
from typing import Any, Union, get_args, get_origin

import msgspec


def without_nulls(value: Any, kind: Any) -> Any:
    """``value`` (builtins) without the nulls that ``kind`` (a Struct, list, dict or scalar type) rejects."""
    kind = _bare(kind)
    if isinstance(value, dict):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            fields = _fields(kind)
            return {k: without_nulls(v, fields.get(k, Any)) for k, v in value.items() if v is not None}
        item = get_args(kind)[1] if get_origin(kind) is dict else Any
        return {k: _zero(item) if v is None else without_nulls(v, item) for k, v in value.items()}
    if isinstance(value, list):
        item = get_args(kind)[0] if get_origin(kind) is list else Any
        return [_zero(item) if v is None else without_nulls(v, item) for v in value]
    return value


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


def _bare(kind: Any) -> Any:
    """The type without None and without its annotations."""
    if get_origin(kind) is typing.Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        members = [member for member in get_args(kind) if member is not types.NoneType]
        return _bare(members[0])
    return kind


def _zero(kind: Any) -> Any:
    kind = _bare(kind)
    origin = get_origin(kind) or kind
    if origin in (str, int, float, bool, list, dict):
        return origin()
    return {} if isinstance(origin, type) and issubclass(origin, msgspec.Struct) else None
