"""What the status of a quota says, and what its names count."""

from typing import Any

import pytest

from apimachinery import codec
from apimachinery.quantity import Amount
from apimachinery.types.core_v1 import ResourceQuota
from controller_manager.quota_objects import GroupResource, counted
from controller_manager.resourcequota import grown, plan


def quota(hard: dict[str, str], used: dict[str, str] | None = None) -> ResourceQuota:
    status = {"hard": hard, "used": used} if used is not None else {}
    return codec.from_builtins({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": status}, ResourceQuota)


@pytest.mark.parametrize(
    ("used", "counts", "settled", "expected"),
    [
        pytest.param(None, {"pods": 0}, False, {"pods": "0"}, id="a new quota"),
        pytest.param({"pods": "1"}, {"pods": 2}, False, {"pods": "2"}, id="more is written at once"),
        pytest.param({"pods": "2"}, {"pods": 1}, True, {"pods": "1"}, id="less is written"),
        pytest.param({"pods": "2"}, {"pods": 1}, False, {"pods": "2"}, id="less waits for writes under way"),
        pytest.param({"pods": "2"}, {}, True, {"pods": "2"}, id="what nobody counts stays"),
        pytest.param(None, {}, True, {}, id="what nobody has ever counted is not known"),
        pytest.param(
            {"pods": "1", "secrets": "4"}, {"pods": 1}, True, {"pods": "1"}, id="what is no longer limited goes"
        ),
    ],
)
def test_the_status_of_a_quota(used: Any, counts: dict[str, int], settled: bool, expected: dict[str, str]) -> None:
    status = plan(
        quota({"pods": "5"}, used), {name: Amount.of(count) for name, count in counts.items()}, lambda name: settled
    )
    assert (status.hard, status.used) == ({"pods": "5"}, expected)


def test_which_amounts_have_grown() -> None:
    before, after = quota({}, {"pods": "1", "cpu": "2"}), quota({}, {"pods": "2", "cpu": "1", "secrets": "0"})
    assert grown(before, after) == ["pods"]
    assert grown(None, after) == ["pods", "cpu"]


def test_which_objects_the_names_in_a_quota_count() -> None:
    names = ("pods", "count/pods", "cpu", "secrets", "count/deployments.apps", "count/widgets.example.com")
    assert counted(names) == {
        GroupResource("", "secrets"), GroupResource("apps", "deployments"), GroupResource("example.com", "widgets"),
    }  # fmt: skip
