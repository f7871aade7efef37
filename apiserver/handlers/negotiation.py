"""The form of an answer: what the ``Accept`` header asks for, among what is supported."""

import re
from collections.abc import Mapping
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


_WEIGHT: Final = re.compile(r"[01](\.[0-9]*)?\Z", re.ASCII)
_NO_PARAMETERS: Final[Mapping[str, str]] = {}
_SHAPES: Final = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


def _clauses(accept: str) -> list[tuple[str, Mapping[str, str]]]:
    """Media types and parameters, the most wanted first (RFC 9110, 12.4.2); what is not wanted at all is left out."""
    weighted = []
    for clause in accept.split(","):
        media_type, *parameters = [part.strip() for part in clause.split(";")]
        values = dict(part.split("=", 1) for part in parameters if "=" in part)
        weight = _weight(values.pop("q", "1"))
        if weight > 0:
            weighted.append((weight, media_type, values))
    weighted.sort(key=lambda clause: -clause[0])
    return [(media_type, values) for _, media_type, values in weighted]


def _weight(text: str) -> float:
    """Between 0 and 1; what is no weight counts as 1, as in Go."""
    return float(text) if _WEIGHT.match(text) else 1.0


@lru_cache(maxsize=512)
def negotiate(accept: str, *, has_table: bool = True) -> Form:
    """The form in the header that can be made and is wanted most, of equals the first; JSON without a header.

    There is no table of what is only answered, such as reviews. Protobuf is chosen only if nothing else is accepted: JSON
    is ready in the cache.

    Raises:
        NotAcceptable: there is none.
    """
    last = None
    for media_type, values in _clauses(accept) if accept.strip() else [("*/*", _NO_PARAMETERS)]:
        shape = values.get("as", "")
        if shape and (shape not in _SHAPES or values.get("g") != "meta.k8s.io"):
            continue
        if shape == "Table" and not has_table:
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
