"""What every kind has in common, and kinds without a generated type."""

from typing import Any

from msgspec import field

from apimachinery.types.base import ApiStruct
from apimachinery.types.meta_v1 import ListMeta, ObjectMeta


class KubeObject(ApiStruct):
    """An object with identity: generic machinery uses only these three fields."""

    kind: str | None = None
    api_version: str | None = field(name="apiVersion", default=None)
    metadata: ObjectMeta = field(default_factory=ObjectMeta)


class KubeList(ApiStruct):
    """A list of one kind's objects as of one revision."""

    kind: str | None = None
    api_version: str | None = field(name="apiVersion", default=None)
    metadata: ListMeta = field(default_factory=ListMeta)


class PartialObjectMetadata(KubeObject):
    """Any object without the fields specific to its kind."""


class Unstructured(KubeObject):
    """An object of a kind that only a definition describes; ``content`` is all but kind and metadata."""

    content: dict[str, Any] = field(default_factory=dict)
