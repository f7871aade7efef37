"""The form of an answer: what the ``Accept`` header asks for, among what is supported."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from apimachinery import errors

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
_STREAM: Final = ";stream=watch"


@dataclass(frozen=True, slots=True)
class Form:
    """``media_type`` is one of the three; ``shape`` is "", "Table", "PartialObjectMetadata" or the list of it."""

    media_type: str = JSON
    shape: str = ""
    version: str = ""
    """Of the shape's group ``meta.k8s.io``: v1 or v1beta1."""


_SHAPES: Final = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@lru_cache(maxsize=512)
def negotiate(accept: str) -> Form:
    """The first form in the header that can be made; JSON without a header.

    Protobuf is chosen only if nothing else is accepted: JSON is ready in the cache.

    Raises:
        NotAcceptable: there is none.
    """
    last = None
    for clause in accept.split(",") if accept.strip() else ["*/*"]:
        media_type, *parameters = [part.strip() for part in clause.split(";")]
        values = dict(part.split("=", 1) for part in parameters if "=" in part)
        shape = values.get("as", "")
        if shape and (shape not in _SHAPES or values.get("g") != "meta.k8s.io"):
            continue
        version = values.get("v", "v1") if shape else ""
        if media_type in ("*/*", "application/*", JSON):
            return Form(JSON, shape, version)
        if media_type in (YAML, "application/x-yaml", "text/yaml"):
            return Form(YAML, shape, version)
        if media_type == PROTOBUF and last is None:
            last = Form(PROTOBUF, shape, version)
    if last is not None:
        return last
    raise errors.NotAcceptable(
        f"only the following media types are accepted: {JSON}, {YAML}, {PROTOBUF}, {JSON}{_STREAM}"
    )
