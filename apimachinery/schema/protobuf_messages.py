"""Kubernetes' protobuf messages as classes, made from data on first use.

``protobuf.json`` holds field number -> name, type, "repeated" for each message; ``protobuf_overlay.json`` says
how messages and definitions differ. Each Go package becomes one file of a private descriptor pool.
"""

from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

_HERE: Final = Path(__file__).parent
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
}
_POOL: Final = descriptor_pool.DescriptorPool()

RawMessage = dict[str, list[str]]


@cache
def messages() -> dict[str, RawMessage]:
    """Every message by its full name."""
    loaded: dict[str, RawMessage] = msgspec.json.decode((_HERE / "protobuf.json").read_bytes())
    return loaded


@cache
def overlay() -> dict[str, Any]:
    """How messages and definitions differ; the file explains its own keys."""
    loaded: dict[str, Any] = msgspec.json.decode((_HERE / "protobuf_overlay.json").read_bytes())
    return loaded


def message_name(definition: str) -> str:
    """``io.k8s.api.core.v1.Pod`` -> ``k8s.io.api.core.v1.Pod``."""
    return definition.replace("io.k8s.", "k8s.io.", 1)


def definition_of(message: str) -> str:
    return message.replace("k8s.io.", "io.k8s.", 1)


@cache
def message_class(name: str) -> type[Message]:
    """The class of a message.

    Raises:
        KeyError: there is no such message.
    """
    if name not in messages():
        raise KeyError(name)
    _file(_package(name))
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


def _package(message: str) -> str:
    return message.rpartition(".")[0]


@cache
def _packages() -> dict[str, list[str]]:
    packages: dict[str, list[str]] = {}
    for name in messages():
        packages.setdefault(_package(name), []).append(name)
    return packages


@cache
def _file(package: str) -> str:
    """Put a package and what it refers to into the pool; returns its file's name."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    needed: set[str] = set()
    for name in _packages()[package]:
        message = file.message_type.add(name=name.rpartition(".")[2])
        for number, (field, kind, *repeated) in messages()[name].items():
            if kind.startswith("k8s.io.") and kind not in messages():
                continue  # of a version that is not served: skipped, like any unknown field
            needed |= _add_field(message, name, int(number), field, kind, bool(repeated))
    for dependency in sorted(needed - {package}):
        file.dependency.append(_file(dependency))
    _POOL.AddSerializedFile(file.SerializeToString())
    return file.name


def _add_field(
    message: descriptor_pb2.DescriptorProto, owner: str, number: int, field: str, kind: str, repeated: bool
) -> set[str]:
    """Returns the packages that the field's type needs."""
    added = message.field.add(name=field, number=number)
    if kind.startswith("map<"):
        entry = message.nested_type.add(name=f"{field[0].upper()}{field[1:]}Entry")
        entry.options.map_entry = True
        needed = set()
        for index, part in enumerate(kind[4:-1].split(", "), start=1):
            place = entry.field.add(name=("key", "value")[index - 1], number=index, label=_Field.LABEL_OPTIONAL)
            needed |= _set_type(place, part)
        added.label = _Field.LABEL_REPEATED
        added.type = _Field.TYPE_MESSAGE
        added.type_name = f".{owner}.{entry.name}"
        return needed
    added.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    return _set_type(added, kind)


def _set_type(field: descriptor_pb2.FieldDescriptorProto, kind: str) -> set[str]:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return set()
    field.type = _Field.TYPE_MESSAGE
    field.type_name = f".{kind}"
    return {_package(kind)}
