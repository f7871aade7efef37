"""What every kind has in common, and the kinds that nobody compiled in."""

from typing import Any

from msgspec import field

from apimachinery.types.base import ApiStruct
from apimachinery.types.meta_v1 import ListMeta, ObjectMeta


class KubeObject(ApiStruct):
    """An object with identity: generic machinery touches these three fields alone."""

    kind: str | None = None
    api_version: str | None = field(name="apiVersion", default=None)
    metadata: ObjectMeta = field(default_factory=ObjectMeta)


class KubeList(ApiStruct):
    """A list of one kind's objects as of one revision."""

    kind: str | None = None
    api_version: str | None = field(name="apiVersion", default=None)
    metadata: ListMeta = field(default_factory=ListMeta)


class PartialObjectMetadata(KubeObject):
    """Any object without what is special to its kind."""


class Unstructured(KubeObject):
    """An object of a kind that is known by its definition only; ``content`` is all but kind and metadata."""

    content: dict[str, Any] = field(default_factory=dict)
