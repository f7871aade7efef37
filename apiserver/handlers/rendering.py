"""An object, a list or an event in the form that a client asked for.

JSON is ready in the cache. Everything else is made from the same object here: YAML, protobuf, a Table with the
columns of the resource's row, or PartialObjectMetadata.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import yaml

from apimachinery import codec, errors
from apimachinery.schema import protobuf
from apimachinery.schema.definitions import definition_name
from apiserver.handlers.http import Request
from apiserver.handlers.negotiation import JSON, PROTOBUF, YAML, Form
from apiserver.registry.resource import ResourceInfo
from apiserver.storage import Stored

INCLUDE_OBJECT: Final = ("None", "Metadata", "Object")


class Renderer(msgspec.Struct, frozen=True):
    """How one request's objects are written."""

    info: ResourceInfo[Any]
    form: Form
    include: str = "Metadata"
    """What of the object a table's row carries."""

    @property
    def is_plain(self) -> bool:
        return self.form.media_type == JSON and not self.form.shape

    def single(self, stored: Stored[Any]) -> bytes:
        """One object."""
        match self.form.shape:
            case "":
                return self._encoded(stored.data, self.info.resource.api_version, self.info.resource.kind)
            case "Table":
                metadata = {"resourceVersion": stored.object.metadata.resource_version or ""}
                return self._dumped(self.table([stored], metadata))
            case "PartialObjectMetadata":
                return self._dumped(self.partial(stored))
        raise errors.NotAcceptable(f"{self.form.shape} is a form of lists, not of one object")

    def many(self, items: Sequence[Stored[Any]], metadata: dict[str, Any]) -> bytes:
        """A list; ``metadata`` is the list's own."""
        if self.form.shape == "Table":
            return self._dumped(self.table(items, metadata))
        if self.form.shape:
            kind = "PartialObjectMetadataList"
            partial = [self.partial(one) for one in items]
            return self._dumped(
                {"kind": kind, "apiVersion": self._meta_version, "metadata": metadata, "items": partial}
            )
        resource = self.info.resource
        data = list_body(f"{resource.kind}List", resource.api_version, metadata, (one.data for one in items))
        return self._encoded(data, resource.api_version, f"{resource.kind}List")

    def shown(self, stored: Stored[Any]) -> bytes:
        """One object as it stands in a watch event: always JSON."""
        if self.form.shape == "Table":
            metadata = {"resourceVersion": stored.object.metadata.resource_version or ""}
            return codec.encode(self.table([stored], metadata))
        if self.form.shape:
            return codec.encode(self.partial(stored))
        return stored.data

    def bookmark(self, metadata: dict[str, Any]) -> bytes:
        """What a bookmark carries: an object of the form that the stream has, with nothing but its metadata."""
        if self.form.shape == "Table":
            return codec.encode(self.table([], {"resourceVersion": metadata["resourceVersion"]}))
        kind, version = self.info.resource.kind, self.info.resource.api_version
        if self.form.shape:
            kind, version = "PartialObjectMetadata", self._meta_version
        return codec.encode({"kind": kind, "apiVersion": version, "metadata": metadata})

    def table(self, items: Sequence[Stored[Any]], metadata: dict[str, Any]) -> dict[str, Any]:
        columns = self.info.columns
        return {
            "kind": "Table",
            "apiVersion": self._meta_version,
            "metadata": metadata,
            "columnDefinitions": [column.definition() for column in columns],
            "rows": [self._row(stored) for stored in items],
        }

    def _row(self, stored: Stored[Any]) -> dict[str, Any]:
        row: dict[str, Any] = {"cells": [column.cell(stored.object) for column in self.info.columns]}
        if self.include == "Object":
            row["object"] = msgspec.Raw(stored.data)
        elif self.include == "Metadata":
            row["object"] = self.partial(stored)
        return row

    def partial(self, stored: Stored[Any]) -> dict[str, Any]:
        return {
            "kind": "PartialObjectMetadata",
            "apiVersion": self._meta_version,
            "metadata": stored.object.metadata,
        }

    @property
    def _meta_version(self) -> str:
        return f"meta.k8s.io/{self.form.version or 'v1'}"

    def _dumped(self, value: Any) -> bytes:
        return self._encoded(codec.encode(value), "meta.k8s.io/v1", self.form.shape)

    def _encoded(self, data: bytes, api_version: str, kind: str) -> bytes:
        return encoded(data, self.form, api_version, kind)

    @property
    def media_type(self) -> str:
        return self.form.media_type


def renderer(request: Request, info: ResourceInfo[Any], form: Form) -> Renderer:
    """Raises NotAcceptable before anything is done if the resource's objects cannot be written in this form."""
    include = request.query.get("includeObject") or "Metadata"
    if include not in INCLUDE_OBJECT:
        raise errors.BadRequest(f'unrecognized includeObject value: "{include}"')
    if form.media_type == PROTOBUF and not form.shape:
        _definition(info.resource.api_version, info.resource.kind)
    return Renderer(info, form, include)


def encoded(data: bytes, form: Form, api_version: str, kind: str) -> bytes:
    """JSON in another of the media types."""
    if form.media_type == YAML:
        text: str = yaml.dump(codec.parse(data), Dumper=yaml.CSafeDumper, sort_keys=False)
        return text.encode()
    if form.media_type == PROTOBUF:
        return protobuf.encode(codec.parse(data), _definition(api_version, kind), api_version, kind)
    return data


def _definition(api_version: str, kind: str) -> str:
    """The definition that a kind's protobuf is made by. Raises NotAcceptable if there is no message for it."""
    group, _, version = api_version.rpartition("/")
    definition = definition_name(group, version, kind)
    if definition is None or not protobuf.has_message(definition):
        raise errors.NotAcceptable(f"{kind} has no protobuf form; JSON and YAML are served")
    return definition


def list_body(kind: str, api_version: str, metadata: dict[str, Any], items: Any) -> bytes:
    """A list's JSON around the items' own."""
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        kind.encode(),
        api_version.encode(),
        codec.encode(metadata),
    )
    return head + b",".join(items) + b"]}"
