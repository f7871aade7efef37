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
