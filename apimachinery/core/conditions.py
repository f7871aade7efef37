"""Conditions of a status: one entry per ``type``, whose ``status`` is True, False or Unknown."""

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Condition(Protocol):
    """What the conditions of all kinds have in common."""

    type: str
    status: str


C = TypeVar("C", bound=Condition)


def find(conditions: Iterable[C] | None, type: str) -> C | None:
    """The condition of that type, if the object has one."""
    return next((condition for condition in conditions or () if condition.type == type), None)


def is_true(conditions: Iterable[Condition] | None, type: str) -> bool:
    return any(condition.type == type and condition.status == "True" for condition in conditions or ())


def set_condition(conditions: Iterable[C] | None, condition: C) -> list[C]:
    """The list with ``condition`` in its type's place, or at the end; the others keep theirs."""
    result = list(conditions or ())
    for i, present in enumerate(result):
        if present.type == condition.type:
            result[i] = condition
            return result
    return [*result, condition]
