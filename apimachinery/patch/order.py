"""The order of a merged list: what a patch orders wins over the order of the live list."""

from collections.abc import Hashable
from typing import Any

from apimachinery import codec


def identity(element: Any, key: str) -> Hashable:
    """Equal for equal elements: by merge key, or by value without one. As in JSON, ``1`` is not ``true``."""
    value = element.get(key) if key else element
    return type(value), codec.encode(value) if isinstance(value, dict | list) else value


def places(elements: list[Any], key: str) -> dict[Hashable, int]:
    """The index of each element's first occurrence, so that long lists need no searching."""
    positions: dict[Hashable, int] = {}
    for index, element in enumerate(elements):
        positions.setdefault(identity(element, key), index)
    return positions


def sorted_like(order: list[Any], elements: list[Any], key: str) -> list[Any]:
    """``elements`` in the order of ``order``, which should contain all of them. Stable."""
    place = places(order, key)
    return sorted(elements, key=lambda element: place.get(identity(element, key), -1))


def interleave(left: list[Any], right: list[Any], order: list[Any], key: str) -> list[Any]:
    """Both lists merged, each in its own order; where ``order`` does not say who is next, ``right`` is."""
    place = places(order, key)
    left_places = [place.get(identity(element, key), -1) for element in left]
    right_places = [place.get(identity(element, key), -1) for element in right]
    merged, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if 0 <= left_places[i] < right_places[j]:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]


def merged_order(live: list[str], applied: list[str]) -> list[str]:
    """All keys in the order in which server-side apply leaves a list; each list's own keys are distinct.

    Both keep their own order where they can. Where they leave it open, live elements come first, so that what one
    manager adds follows what is there. The order is that of structured-merge-diff (typed/merge.go, visitListItems).
    """
    in_live, in_applied = set(live), set(applied)
    shared = iter([key for key in applied if key in in_live])
    awaited = next(shared, None)
    merged, i, j = [], 0, 0
    while i < len(live) or j < len(applied):
        if i < len(live) and j < len(applied) and live[i] in in_applied and live[i] not in (applied[j], awaited):
            i += 1  # the applied list has it elsewhere
        elif i < len(live) and live[i] not in in_applied:
            merged.append(live[i])
            i += 1
        elif j < len(applied):
            merged.append(applied[j])
            i += i < len(live) and live[i] == applied[j]
            if applied[j] == awaited:
                awaited = next(shared, None)
            j += 1
        else:
            i += 1
    return merged
