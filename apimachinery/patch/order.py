"""The order of a merged list: what a patch orders wins over the order of the live list."""

from typing import Any


def is_same(left: Any, right: Any) -> bool:
    """Equality as JSON has it: ``1`` is not ``true``."""
    return type(left) is type(right) and bool(left == right)


def position(elements: list[Any], wanted: Any, key: str) -> int:
    """Where an element with the same merge key (or, without key, value) stands; -1 if nowhere."""
    if key:
        wanted = wanted.get(key)
        return next((i for i, one in enumerate(elements) if is_same(one.get(key), wanted)), -1)
    return next((i for i, one in enumerate(elements) if is_same(one, wanted)), -1)


def sorted_like(order: list[Any], elements: list[Any], key: str) -> list[Any]:
    """Stable; every element is expected to stand in ``order``."""
    return sorted(elements, key=lambda one: position(order, one, key))


def interleave(left: list[Any], right: list[Any], order: list[Any], key: str) -> list[Any]:
    """Both lists in one, each keeping its own order; ``order`` decides whose turn it is, in doubt ``right``."""
    merged, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        mine, other = position(order, left[i], key), position(order, right[j], key)
        if 0 <= mine < other:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]
