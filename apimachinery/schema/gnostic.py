"""An OpenAPI v2 document in gnostic's protobuf form, the only one that kubectl before 1.24 reads.

Field numbers are those of google/gnostic's ``openapiv2/OpenAPIv2.proto``; ``gnostic.json`` holds the part of it
that our documents need. Extensions travel as YAML text, and JSON is YAML.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from apimachinery import codec

MEDIA_TYPE: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
ANSWERED_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""The answer's media type: Kubernetes' servers write it with a dot."""

_PACKAGE: Final = "peapod.openapi.v2"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {"string": _Field.TYPE_STRING, "bool": _Field.TYPE_BOOL}


@cache
def _classes() -> Mapping[str, type[Message]]:
    tables: dict[str, dict[str, list[str]]] = msgspec.json.decode(Path(__file__).with_name("gnostic.json").read_bytes())
    file = descriptor_pb2.FileDescriptorProto(name="gnostic.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in tables.items():
        message = file.message_type.add(name=name)
        for number, (field, kind, *repeated) in fields.items():
            added = message.field.add(name=field, number=int(number))
            added.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type, added.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in tables}


def encode(document: dict[str, Any]) -> bytes:
    """The bytes of a document that ``openapi_v2.document`` made."""
    message: Any = _classes()["Document"]()
    message.swagger = document["swagger"]
    message.info.title, message.info.version = document["info"]["title"], document["info"]["version"]
    for path, item in document["paths"].items():
        _path_item(message.paths.path.add(name=path).value, item)
    for name, schema in document["definitions"].items():
        _schema(message.definitions.properties.add(name=name).value, schema)
    return bytes(message.SerializeToString(deterministic=True))


def _path_item(message: Any, item: dict[str, Any]) -> None:
    for key, value in item.items():
        if key == "parameters":
            _parameters(message.parameters, value)
        else:
            _operation(getattr(message, key), value)


def _operation(message: Any, operation: dict[str, Any]) -> None:
    for key in ("tags", "produces", "consumes"):
        getattr(message, key).extend(operation[key])
    message.description, message.operationId = operation["description"], operation["operationId"]
    _parameters(message.parameters, operation["parameters"])
    for code, response in operation["responses"].items():
        answer = message.responses.codes.add(name=code).value.response
        answer.description = response["description"]
        if "schema" in response:
            _schema(answer.schema.schema, response["schema"])
    _extensions(message.extensions, operation)


def _parameters(messages: Any, parameters: list[dict[str, Any]]) -> None:
    for parameter in parameters:
        message = messages.add().parameter
        where = parameter["in"]
        target = message.body if where == "body" else getattr(message.other, where)
        for key, value in parameter.items():
            if key == "schema":
                _schema(target.schema, value)
            else:
                setattr(target, key, value)


def _schema(message: Any, schema: dict[str, Any]) -> None:
    message.SetInParent()
    for key, value in schema.items():
        if (write := _SCHEMA_FIELDS.get(key)) is not None:
            write(message, value)
    _extensions(message.extensions, schema)


def _properties(message: Any, properties: dict[str, Any]) -> None:
    for name, schema in properties.items():
        _schema(message.properties.properties.add(name=name).value, schema)


_SCHEMA_FIELDS: Final[dict[str, Callable[[Any, Any], None]]] = {
    "$ref": lambda message, value: setattr(message, "ref", value),
    "format": lambda message, value: setattr(message, "format", value),
    "description": lambda message, value: setattr(message, "description", value),
    "type": lambda message, value: message.type.value.append(value),
    "required": lambda message, value: message.required.extend(value),
    "items": lambda message, value: _schema(message.items.schema.add(), value),
    "additionalProperties": lambda message, value: _schema(message.additionalProperties.schema, value),
    "properties": _properties,
}


def _extensions(messages: Any, owner: dict[str, Any]) -> None:
    for key, value in owner.items():
        if key.startswith("x-kubernetes-"):
            messages.add(name=key).value.yaml = codec.encode(value).decode() + "\n"
