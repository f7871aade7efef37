"""Times in the one form in which they are stored: what Go's codecs of ``metav1.Time`` and ``MicroTime`` read and write.

A Time is RFC 3339 with any fraction and zone, and is written in UTC with whole seconds. A MicroTime must have exactly six
digits of fraction, and is written in UTC with six. Decoding only checks the form, since most times are only passed on;
what is written passes through ``canonicalize``.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from msgspec import Struct, structs

from apimachinery.errors import BadRequest
from apimachinery.meta import format_micro_time, format_time
from apimachinery.types.base import MicroTime, Time

Write = Callable[[Any], Any]
"""The canonical form of a value: the value itself, changed in place where it has parts."""
Field = tuple[str, str, Write]
"""Attribute, wire name, what writes it."""

_FORM: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d%s(Z|[+-]\d\d:\d\d)\Z"
_TIME: Final = re.compile(_FORM % r"(\.\d+)?", re.ASCII)
_MICRO_TIME: Final = re.compile(_FORM % r"\.\d{6}", re.ASCII)
_ZERO: Final = datetime(1, 1, 1, tzinfo=UTC)


class _NotATime(Exception):
    """``path`` grows from the inside out."""

    def __init__(self, text: str, example: str) -> None:
        super().__init__(text)
        self.text, self.example, self.path = text, example, ""


def canonicalize(obj: Struct) -> None:
    """Bring all times of an object into their canonical form.

    Raises:
        BadRequest: a time has another form, or is none (the 30th of February); the message names the field.
    """
    for attribute, wire, write in _fields(type(obj)):
        value = getattr(obj, attribute)
        if value is not None:
            try:
                written = write(value)
            except _NotATime as fault:
                where = f"{wire}{fault.path}"
                why = f'must be a time such as {fault.example}, not "{fault.text}"'
                raise BadRequest(f"the object cannot be read as a {type(obj).__name__}: {where}: {why}") from fault
            if written is not value:
                setattr(obj, attribute, written)


@lru_cache(maxsize=8192)
def time(text: str) -> str | None:
    """A Time; None for Go's zero time."""
    return _written(text, _TIME, format_time, "2006-01-02T15:04:05Z")


@lru_cache(maxsize=8192)
def micro_time(text: str) -> str | None:
    """A MicroTime; None for Go's zero time."""
    return _written(text, _MICRO_TIME, format_micro_time, "2006-01-02T15:04:05.000000Z")


def _written(text: str, form: re.Pattern[str], write: Callable[[datetime], str], example: str) -> str | None:
    try:
        if not form.match(text):
            raise ValueError(text)
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as fault:
        raise _NotATime(text, example) from fault
    return write(moment) if moment != _ZERO else None


@cache
def _fields(cls: type[Struct]) -> Sequence[Field]:
    """The fields of a Struct in which there are times, at any depth."""
    return _found(cls, ())


def _found(cls: type[Struct], outer: tuple[type[Struct], ...]) -> Sequence[Field]:
    fields = []
    for field in structs.fields(cls):
        write = _writer(field.type, (*outer, cls))
        if write is not None:
            fields.append((field.name, field.encode_name, write))
    return tuple(fields)


def _writer(kind: Any, outer: tuple[type[Struct], ...]) -> Write | None:
    """What writes the times in values of a type; None where there are none. A type within itself has none."""
    if get_origin(kind) in (Union, UnionType):
        members = [member for member in get_args(kind) if member is not NoneType]
        return _writer(members[0], outer) if len(members) == 1 else None
    if get_origin(kind) is Annotated:
        return micro_time if kind == MicroTime else time if kind == Time else None
    if get_origin(kind) is list:
        element = _writer(get_args(kind)[0], outer)
        return _in_list(element) if element is not None else None
    if get_origin(kind) is dict:
        member = _writer(get_args(kind)[1], outer)
        return _in_map(member) if member is not None else None
    if isinstance(kind, type) and issubclass(kind, Struct) and kind not in outer:
        fields = _found(kind, outer)
        return _in_struct(fields) if fields else None
    return None


def _in_struct(fields: Sequence[Field]) -> Write:
    def write(value: Any) -> Any:
        for attribute, wire, inner in fields:
            part = getattr(value, attribute)
            if part is not None:
                try:
                    written = inner(part)
                except _NotATime as fault:
                    fault.path = f".{wire}{fault.path}"
                    raise
                if written is not part:
                    setattr(value, attribute, written)
        return value

    return write


def _in_list(element: Write) -> Write:
    def write(value: Any) -> Any:
        for i, part in enumerate(value):
            try:
                value[i] = element(part)
            except _NotATime as fault:
                fault.path = f"[{i}]{fault.path}"
                raise
        return value

    return write


def _in_map(member: Write) -> Write:
    def write(value: Any) -> Any:
        for key, part in value.items():
            try:
                value[key] = member(part)
            except _NotATime as fault:
                fault.path = f"[{key}]{fault.path}"
                raise
        return value

    return write
