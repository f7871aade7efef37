"""Tolerations of two sources as one list."""

import pytest

from apimachinery.core.tolerations import merged
from apimachinery.types.core_v1 import Toleration

ALL = Toleration(operator="Exists")
ANY_A = Toleration(key="a", operator="Exists")
A1 = Toleration(key="a", operator="Equal", value="1")
A2 = Toleration(key="a", operator="Equal", value="2")
A1_NO_SCHEDULE = Toleration(key="a", operator="Equal", value="1", effect="NoSchedule")
FOR_EVER = Toleration(key="a", operator="Exists", effect="NoExecute")
FOR_A_MINUTE = Toleration(key="a", operator="Exists", effect="NoExecute", toleration_seconds=60)
FOR_A_SECOND = Toleration(key="a", operator="Exists", effect="NoExecute", toleration_seconds=1)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ([], [], []),
        ([A1], [A2], [A1, A2]),
        ([A1], [A1], [A1]),
        ([A1, A2], [A1], [A1, A2]),
        ([A1], [ANY_A], [ANY_A]),
        ([ANY_A], [A1, A2], [ANY_A]),
        ([A1, FOR_EVER], [ALL], [ALL]),
        ([A1_NO_SCHEDULE], [A1], [A1]),
        ([A1_NO_SCHEDULE], [FOR_EVER], [A1_NO_SCHEDULE, FOR_EVER]),
        ([FOR_A_MINUTE], [FOR_A_SECOND], [FOR_A_MINUTE]),
        ([FOR_A_SECOND], [FOR_A_MINUTE], [FOR_A_MINUTE]),
        ([FOR_A_SECOND], [FOR_EVER], [FOR_EVER]),
        ([FOR_EVER], [FOR_A_SECOND], [FOR_EVER]),
    ],
)
def test_what_another_toleration_includes_is_left_out(
    first: list[Toleration], second: list[Toleration], together: list[Toleration]
) -> None:
    assert merged(first, second) == together
