"""Times are stored in the form that Go writes, and what Go does not read is refused."""

from typing import Any

import pytest

from apimachinery import codec, times
from apimachinery.errors import BadRequest
from apimachinery.types.coordination_v1 import Lease
from apimachinery.types.core_v1 import Event, Node, Pod
from apimachinery.types.policy_v1 import PodDisruptionBudget


def canonical(cls: type[Any], document: dict[str, Any]) -> dict[str, Any]:
    obj = codec.from_builtins(document, cls)
    times.canonicalize(obj)
    written: dict[str, Any] = codec.to_builtins(obj)
    return written


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
        ("2026-01-02T03:04:05.999999999Z", "2026-01-02T03:04:05Z"),
        ("0999-01-02T03:04:05Z", "0999-01-02T03:04:05Z"),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_a_time_is_stored_in_utc_with_whole_seconds(sent: str, stored: str | None) -> None:
    assert times.time(sent) == stored
    status = canonical(Pod, {"status": {"conditions": [{"type": "Ready", "lastTransitionTime": sent}]}})["status"]
    assert status["conditions"][0].get("lastTransitionTime") == stored


def test_a_micro_time_is_stored_in_utc_with_six_digits() -> None:
    spec = canonical(Lease, {"spec": {"renewTime": "2026-01-02T03:04:05.100000-01:00"}})["spec"]
    assert spec == {"renewTime": "2026-01-02T04:04:05.100000Z"}


@pytest.mark.parametrize(
    ("cls", "document", "field"),
    [
        (Event, {"eventTime": "2026-01-02T03:04:00Z"}, "eventTime"),
        (Event, {"series": {"lastObservedTime": "2026-01-02T03:04:00.123Z"}}, "series.lastObservedTime"),
        (Pod, {"status": {"startTime": "2026-02-30T00:00:00Z"}}, "status.startTime"),
        (Pod, {"status": {"startTime": "2026-02-03t00:00:00z"}}, "status.startTime"),
        (Pod, {"status": {"startTime": "2026-02-03T00:00:00+25:00"}}, "status.startTime"),
        (Node, {"spec": {"taints": [{}, {"timeAdded": "0001-01-01T00:00:00+01:00"}]}}, r"spec.taints\[1\].timeAdded"),
        (PodDisruptionBudget, {"status": {"disruptedPods": {"p": "2026-02-31T00:00:00Z"}}}, r"disruptedPods\[p\]"),
    ],
)
def test_what_go_does_not_read_is_refused(cls: type[Any], document: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest, match=f"{field}: must be a time such as 2006-01-02T15:04:05"):
        canonical(cls, document)
