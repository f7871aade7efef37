"""An object, a list or an event in the form that a client asked for.

JSON is ready in the cache. Everything else is made from the same object here: YAML, protobuf, a Table with the
columns of the resource's row, or PartialObjectMetadata.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import yaml

from apimachinery import codec, errors
from apimachinery.schema import protobuf
from apimachinery.schema.definitions import definition_name
from apimachinery.types.objects import KubeObject
from apiserver.handlers.http import Request
from apiserver.handlers.negotiation import JSON, PROTOBUF, YAML, Form
from apiserver.registry.columns import Column
from apiserver.registry.resource import Kind
from apiserver.storage import Stored

INCLUDE_OBJECT: Final = ("None", "Metadata", "Object")


class Renderer(msgspec.Struct, frozen=True):
    """How one request's objects are written."""

    kind: Kind[KubeObject]
    columns: Sequence[Column[KubeObject]]
    form: Form
    include: str = "Metadata"
    """What of the object a table's row carries."""

    @property
    def is_plain(self) -> bool:
        return self.form.media_type == JSON and not self.form.shape

    def single(self, stored: Stored[KubeObject]) -> bytes:
        """One object."""
        if self.is_plain:
            return stored.data
        if not self.form.shape:
            return encoded(stored.data, self.form, self.kind.api_version, self.kind.name)
        if self.form.shape == "PartialObjectMetadataList":
            raise errors.NotAcceptable(f"{self.form.shape} is a form of lists, not of one object")
        return encoded(self.in_event(stored), self.form, "meta.k8s.io/v1", self.form.shape)

    def many(self, items: Sequence[Stored[KubeObject]], metadata: Mapping[str, object]) -> bytes:
        """A list; ``metadata`` is the list's own."""
        if not self.form.shape:
            kind, version = f"{self.kind.name}List", self.kind.api_version
            data = list_body(kind, version, metadata, (stored.data for stored in items))
            return encoded(data, self.form, version, kind)
        if self.form.shape == "Table":
            document = self.table(items, metadata)
        else:
            document = {
                "kind": "PartialObjectMetadataList",
                "apiVersion": self._meta_version,
                "metadata": metadata,
                "items": [self.partial(stored) for stored in items],
            }
        return encoded(codec.encode(document), self.form, "meta.k8s.io/v1", self.form.shape)

    def in_event(self, stored: Stored[KubeObject]) -> bytes:
        """One object as a watch event carries it: always JSON."""
        if self.form.shape == "Table":
            metadata = {"resourceVersion": stored.object.metadata.resource_version or ""}
            return codec.encode(self.table([stored], metadata))
        if self.form.shape:
            return codec.encode(self.partial(stored))
        return stored.data

    def bookmark(self, metadata: Mapping[str, object]) -> bytes:
        """What a bookmark carries: an object of the form that the stream has, with nothing but its metadata."""
        if self.form.shape == "Table":
            return codec.encode(self.table([], {"resourceVersion": metadata["resourceVersion"]}))
        kind, version = self.kind.name, self.kind.api_version
        if self.form.shape:
            kind, version = "PartialObjectMetadata", self._meta_version
        return codec.encode({"kind": kind, "apiVersion": version, "metadata": metadata})

    def table(self, items: Sequence[Stored[KubeObject]], metadata: Mapping[str, object]) -> dict[str, object]:
        return {
            "kind": "Table",
            "apiVersion": self._meta_version,
            "metadata": metadata,
            "columnDefinitions": [column.definition() for column in self.columns],
            "rows": [self._row(stored) for stored in items],
        }

    def _row(self, stored: Stored[KubeObject]) -> dict[str, object]:
        row: dict[str, object] = {"cells": [column.cell(stored.object) for column in self.columns]}
        if self.include == "Object":
            row["object"] = msgspec.Raw(stored.data)
        elif self.include == "Metadata":
            row["object"] = self.partial(stored)
        return row

    def partial(self, stored: Stored[KubeObject]) -> dict[str, object]:
        return {
            "kind": "PartialObjectMetadata",
            "apiVersion": self._meta_version,
            "metadata": stored.object.metadata,
        }

    @property
    def _meta_version(self) -> str:
        return f"meta.k8s.io/{self.form.version or 'v1'}"


def renderer(request: Request, kind: Kind[KubeObject], columns: Sequence[Column[KubeObject]], form: Form) -> Renderer:
    """Raises NotAcceptable before anything is done if objects of the kind cannot be written in this form."""
    include = request.query.get("includeObject") or "Metadata"
    if include not in INCLUDE_OBJECT:
        raise errors.BadRequest(f'unrecognized includeObject value: "{include}"')
    if form.media_type == PROTOBUF and not form.shape:
        _definition(kind.api_version, kind.name)
    return Renderer(kind, columns, form if columns else Form(form.media_type), include)


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


def list_body(kind: str, api_version: str, metadata: Mapping[str, object], items: Iterable[bytes]) -> bytes:
    """A list's JSON around the items' own."""
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        kind.encode(),
        api_version.encode(),
        codec.encode(metadata),
    )
    return head + b",".join(items) + b"]}"
