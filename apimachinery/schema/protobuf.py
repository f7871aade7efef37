"""Kubernetes' protobuf bodies to builtins and back.

A body is ``k8s\\0`` and a ``runtime.Unknown`` that names the kind. Go writes every field that is not a pointer,
so a zero mostly means absence; the overlay lists the exceptions. Fields that the definitions do not know are
ignored, as typed clients do.
"""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from apimachinery import codec
from apimachinery.errors import BadRequest
from apimachinery.meta import format_time
from apimachinery.schema.definitions import always_written, definition_name, definitions
from apimachinery.schema.protobuf_messages import (
    definition_of,
    message_class,
    message_name,
    messages,
    overlay,
)

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
MAGIC: Final = b"k8s\0"

_META: Final = "k8s.io.apimachinery.pkg.apis.meta.v1."
_UNKNOWN: Final = "k8s.io.apimachinery.pkg.runtime.Unknown"
_RAW: Final = "k8s.io.apimachinery.pkg.runtime.RawExtension"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ABSENT: Final = object()

Reader = Callable[[Any], Any]
Writer = Callable[[Message, Any], None]


def decode(data: bytes) -> tuple[str, str, dict[str, Any]]:
    """The apiVersion, the kind, and the object, which contains both.

    Raises:
        BadRequest: not in this format, or of a kind without a message.
    """
    if not data.startswith(MAGIC):
        raise BadRequest("the body is not Kubernetes protobuf: it lacks the prefix")
    unknown: Any = _parsed(_UNKNOWN, data[len(MAGIC) :])
    api_version, kind = unknown.typeMeta.apiVersion, unknown.typeMeta.kind
    if unknown.contentEncoding or unknown.contentType not in ("", MEDIA_TYPE):
        raise BadRequest(
            f"the body is not Kubernetes protobuf: it holds {unknown.contentType or unknown.contentEncoding}"
        )
    name = _message_of(api_version, kind)
    body = _read(_parsed(name, unknown.raw))
    return api_version, kind, {"kind": kind, "apiVersion": api_version, **body}


def encode(value: dict[str, Any], definition: str, api_version: str, kind: str) -> bytes:
    """The body that contains ``value`` (builtins, decodable as ``definition``).

    Raises:
        BadRequest: a value does not fit its field.
        KeyError: the definition has no message.
    """
    message = message_class(message_name(definition))()
    _write(message, value)
    unknown: Any = message_class(_UNKNOWN)()
    unknown.typeMeta.apiVersion, unknown.typeMeta.kind = api_version, kind
    unknown.raw = message.SerializeToString()
    unknown.contentEncoding = unknown.contentType = ""
    return MAGIC + bytes(unknown.SerializeToString())


def has_message(definition: str) -> bool:
    """Whether objects of a definition have a protobuf form."""
    return message_name(definition) in messages()


@lru_cache(maxsize=1024)
def _message_of(api_version: str, kind: str) -> str:
    """The options of a request are registered in every group; the data lists some groups only."""
    group, _, version = api_version.rpartition("/")
    definition = definition_name(group, version, kind)
    if definition is None and kind.endswith("Options"):
        return f"{_META}{kind}" if f"{_META}{kind}" in messages() else _no_kind(api_version, kind)
    if definition is None or not has_message(definition):
        return _no_kind(api_version, kind)
    return message_name(definition)


def _no_kind(api_version: str, kind: str) -> str:
    raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')


def _parsed(name: str, data: bytes) -> Message:
    message = message_class(name)()
    try:
        message.ParseFromString(data)
    except DecodeError as fault:
        raise BadRequest("the body is not Kubernetes protobuf") from fault
    return message


def _read(message: Any) -> dict[str, Any]:
    """A message as builtins; inlined messages spread their fields over their owner."""
    value: dict[str, Any] = {}
    plan = _plans[message.DESCRIPTOR.full_name]
    for field, content in message.ListFields():
        name, read, keeps_zero = plan[field.number]
        if read is None:
            continue
        member = read(content)
        if member is _ABSENT or not (keeps_zero or member):
            continue
        if name:
            value[name] = member
        else:
            value.update(member)
    return value


class _Plans(dict[str, dict[int, tuple[str, Reader | None, bool]]]):
    """For each message, by field number: the property, how to read it, and whether a zero is kept."""

    def __missing__(self, name: str) -> dict[int, tuple[str, Reader | None, bool]]:
        definition = definition_of(name)
        words = _words(definition)
        descriptor = message_class(name).DESCRIPTOR
        plan = self[name] = {}
        for field in descriptor.fields:
            if field.name in words.drop:
                plan[field.number] = ("", None, False)
            elif field.name in words.inline:
                plan[field.number] = ("", _read, False)
            else:
                wire = words.rename.get(field.name, field.name)
                is_struct = field.message_type is not None and field.message_type.full_name not in _SCALARS
                plan[field.number] = (wire, _reader(field), wire in words.keep or is_struct)
        return plan


_plans: Final = _Plans()


class _Words:
    """What the overlay says about one definition."""

    def __init__(self, definition: str) -> None:
        self.drop = frozenset(overlay()["drop"].get(definition, ()))
        self.inline = frozenset(overlay()["inline"].get(definition, ()))
        self.rename: dict[str, str] = overlay()["rename"].get(definition, {})
        self.field_of = {wire: field for field, wire in self.rename.items()}
        always = always_written(definition) if definition in definitions() else frozenset[str]()
        self.keep = always | frozenset(overlay()["optional"].get(definition, ()))


@cache
def _words(definition: str) -> _Words:
    return _Words(definition)


def _reader(field: Any) -> Reader:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        read = _element_reader(field.message_type.fields_by_name["value"])
        return lambda entries: {key: read(entries[key]) for key in entries}
    read = _element_reader(field)
    return (lambda values: [read(element) for element in values]) if field.is_repeated else read


def _element_reader(field: Any) -> Reader:
    if field.message_type is not None:
        return _SCALARS.get(field.message_type.full_name, (_read, None))[0]
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda data: base64.b64encode(data).decode()
    return _same


def _same(value: Any) -> Any:
    return value


def _read_time(message: Any) -> Any:
    """Go's zero time has no fields, or both zero; JSON has it as null."""
    if not message.seconds and not message.nanos:
        return _ABSENT
    return format_time(_moment(message))


def _read_micro_time(message: Any) -> Any:
    if not message.seconds and not message.nanos:
        return _ABSENT
    return _moment(message).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(message: Any) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
    except OverflowError as fault:
        raise BadRequest(f"the body is not Kubernetes protobuf: {message.seconds} is not a time") from fault


def _read_raw(message: Any) -> Any:
    if not message.raw:
        return None
    return decode(message.raw)[2] if message.raw.startswith(MAGIC) else codec.parse(message.raw)


def _write(message: Any, value: Any) -> None:
    if not isinstance(value, dict):
        raise BadRequest(f"expected a map for {message.DESCRIPTOR.name}, found another type")
    words = _words(definition_of(message.DESCRIPTOR.full_name))
    for field in message.DESCRIPTOR.fields:
        if field.name in words.inline:
            _write(getattr(message, field.name), value)
            continue
        content = value.get(words.rename.get(field.name, field.name))
        if content is None or field.name in words.drop:
            continue
        try:
            _write_field(message, field, content)
        except (TypeError, ValueError, AttributeError, binascii.Error) as fault:
            raise BadRequest(f"{message.DESCRIPTOR.name}.{field.name}: the value has another type") from fault


def _write_field(message: Any, field: Any, value: Any) -> None:
    target = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        held = field.message_type.fields_by_name["value"]
        for key, element in value.items():
            if held.message_type is not None:
                _write_one(target[key], element)
            else:
                target[key] = _plain(held, element)
    elif field.is_repeated:
        for element in value:
            if field.message_type is not None:
                _write_one(target.add(), element)
            else:
                target.append(_plain(field, element))
    elif field.message_type is not None:
        target.SetInParent()
        _write_one(target, value)
    else:
        setattr(message, field.name, _plain(field, value))


def _plain(field: Any, value: Any) -> Any:
    return base64.b64decode(value, validate=True) if field.type == FieldDescriptor.TYPE_BYTES else value


def _write_one(message: Any, value: Any) -> None:
    """Fill in a message; null leaves it empty, as in Go."""
    if value is None:
        return
    write = _SCALARS.get(message.DESCRIPTOR.full_name, (None, _write))[1]
    write(message, value)


def _write_time(message: Any, value: str) -> None:
    since = datetime.fromisoformat(value) - _EPOCH
    message.seconds = since.days * 86400 + since.seconds
    message.nanos = since.microseconds * 1000


def _write_int_or_string(message: Any, value: int | str) -> None:
    message.type, message.intVal, message.strVal = (1, 0, value) if isinstance(value, str) else (0, value, "")


def _write_quantity(message: Any, value: Any) -> None:
    message.string = str(value)


def _write_raw(message: Any, value: Any) -> None:
    message.raw = codec.encode(value)


def _write_fields(message: Any, value: Any) -> None:
    message.Raw = codec.encode(value)


def _write_items(message: Any, value: list[str]) -> None:
    message.items.extend(value)


_SCALARS: Final[dict[str, tuple[Reader, Writer]]] = {
    f"{_META}Time": (_read_time, _write_time),
    f"{_META}MicroTime": (_read_micro_time, _write_time),
    f"{_META}FieldsV1": (lambda message: codec.parse(message.Raw) if message.Raw else {}, _write_fields),
    _RAW: (_read_raw, _write_raw),
    "k8s.io.apimachinery.pkg.api.resource.Quantity": (lambda message: message.string, _write_quantity),
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": (
        lambda message: message.strVal if message.type else message.intVal,
        _write_int_or_string,
    ),
    f"{_META}Verbs": (lambda message: list(message.items), _write_items),
    **{
        f"k8s.io.api.{group}.v1.ExtraValue": (lambda message: list(message.items), _write_items)
        for group in ("authentication", "authorization", "certificates")
    },
}
