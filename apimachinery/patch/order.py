"""The order of a merged list: what a patch orders wins over the order of the live list."""

from collections.abc import Hashable
from typing import Any

from apimachinery import codec


def identity(element: Any, key: str) -> Hashable:
    """What makes an element the same as another: its merge key, or itself. As in JSON, ``1`` is not ``true``."""
    value = element.get(key) if key else element
    return type(value), codec.encode(value) if isinstance(value, dict | list) else value


def places(elements: list[Any], key: str) -> dict[Hashable, int]:
    """Where each element stands first. Lists can be long, so nobody searches them one by one."""
    found: dict[Hashable, int] = {}
    for index, element in enumerate(elements):
        found.setdefault(identity(element, key), index)
    return found


def sorted_like(order: list[Any], elements: list[Any], key: str) -> list[Any]:
    """Stable; every element is expected to stand in ``order``."""
    place = places(order, key)
    return sorted(elements, key=lambda one: place.get(identity(one, key), -1))


def interleave(left: list[Any], right: list[Any], order: list[Any], key: str) -> list[Any]:
    """Both lists in one, each keeping its own order; ``order`` decides whose turn it is, in doubt ``right``."""
    place = places(order, key)
    mine = [place.get(identity(one, key), -1) for one in left]
    theirs = [place.get(identity(one, key), -1) for one in right]
    merged, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if 0 <= mine[i] < theirs[j]:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]
