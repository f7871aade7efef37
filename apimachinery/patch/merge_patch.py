"""RFC 7386: maps merge, other values are replaced, null removes."""

from typing import Any


def apply(current: Any, patch: Any) -> Any:
    """``current`` with the patch merged in; neither argument is changed, unchanged parts are shared."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = apply(merged.get(key), value)
    return merged
