"""Patches in three of the API's dialects: JSON patch, merge patch and strategic merge patch.

``apply`` works on builtins and does not change its inputs; ``null`` in a patch has the dialect's own meaning, so the
patch must not pass through the typed objects first. Server-side apply, the fourth dialect, depends on field ownership
and lives in ``apimachinery.managed_fields``.
"""

from typing import Any, Literal

from apimachinery import codec
from apimachinery.errors import BadRequest, UnsupportedMediaType
from apimachinery.patch import json_patch, merge_patch, strategic

Dialect = Literal["json", "merge", "strategic"]

MEDIA_TYPES: dict[str, Dialect] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}


def apply(dialect: Dialect, current: dict[str, Any], patch: bytes, definition: str | None) -> dict[str, Any]:
    """``current`` with the patch applied; unchanged parts may be shared with it.

    ``definition`` is the published name of the object's definition; strategic merge needs one.

    Raises:
        BadRequest: the patch is not well formed.
        Invalid: the patch does not fit the object.
        RequestEntityTooLarge: a JSON patch with too many operations.
        UnsupportedMediaType: a strategic merge of an object without a definition.
    """
    document = codec.parse(patch)
    try:
        return _apply(dialect, current, document, definition)
    except RecursionError as fault:
        raise BadRequest("the patch is nested too deep") from fault


def _apply(dialect: Dialect, current: dict[str, Any], document: Any, definition: str | None) -> dict[str, Any]:
    if dialect == "json":
        patched = json_patch.apply(current, document)
        if not isinstance(patched, dict):
            raise BadRequest("the patched object is not a JSON object")
        return patched
    if not isinstance(document, dict):
        raise BadRequest("a merge patch is a JSON object")
    if dialect == "merge":
        merged: dict[str, Any] = merge_patch.apply(current, document)
        return merged
    if definition is None:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        )
    return strategic.apply(current, document, definition)
