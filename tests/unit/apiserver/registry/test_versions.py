"""Kinds of several versions: what is converted comes back whole, and cached objects stay as they are."""

from typing import Any

import pytest

from apimachinery import codec
from apimachinery.types import autoscaling_v1, autoscaling_v2, core_v1, events_v1
from apiserver.registry.autoscaling.version_1 import from_v2, to_v2
from apiserver.registry.core.events_k8s_io import from_core, to_core
from tests.kinds import METRIC, kind
from tests.unit.apiserver.registry.rows import faults, row

PODS_METRIC = {
    "type": "Pods",
    "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "5"}},
}
CPU_SEEN = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40}}}

AUTOSCALERS: list[dict[str, Any]] = [
    {"spec": {"maxReplicas": 3, "metrics": [METRIC]}},
    {"spec": {"maxReplicas": 3, "metrics": [METRIC, PODS_METRIC]}},
    {"spec": {"maxReplicas": 3, "metrics": [PODS_METRIC], "behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}},
    {
        "spec": {"maxReplicas": 3, "minReplicas": 2, "metrics": [METRIC]},
        "status": {
            "currentReplicas": 2,
            "desiredReplicas": 3,
            "currentMetrics": [CPU_SEEN],
            "conditions": [{"type": "AbleToScale", "status": "True"}],
        },
    },
]


@pytest.mark.parametrize("body", AUTOSCALERS)
def test_an_autoscaler_comes_back_from_version_1(body: dict[str, Any]) -> None:
    document = {"metadata": {"name": "a", "annotations": {"mine": "1"}}, **body}
    obj = codec.from_builtins(document, autoscaling_v2.HorizontalPodAutoscaler)
    before = codec.encode(obj)
    assert to_v2(from_v2(obj)).spec == obj.spec
    back = to_v2(from_v2(obj))
    assert back.metadata == obj.metadata
    assert back.status.conditions == obj.status.conditions
    assert back.status.current_metrics == obj.status.current_metrics
    assert codec.encode(obj) == before  # it may be a cache's


def test_version_1_shows_cpu_as_its_own_fields() -> None:
    obj = codec.from_builtins({"metadata": {"name": "a"}, **AUTOSCALERS[3]}, autoscaling_v2.HorizontalPodAutoscaler)
    shown = from_v2(obj)
    assert shown.spec.target_cpu_utilization_percentage == 50
    assert shown.status.current_cpu_utilization_percentage == 40
    assert (shown.api_version, shown.kind) == ("autoscaling/v1", "HorizontalPodAutoscaler")
    assert set(shown.metadata.annotations or {}) == {
        "autoscaling.alpha.kubernetes.io/current-metrics", "autoscaling.alpha.kubernetes.io/conditions",
    }  # fmt: skip


def test_version_1_is_judged_as_what_it_becomes() -> None:
    spec = {"scaleTargetRef": {"kind": "D", "name": "a"}, "maxReplicas": 1, "targetCPUUtilizationPercentage": -1}
    path = "spec.metrics[0].resource.target.averageUtilization"
    assert faults("horizontalpodautoscalers", "v1", spec=spec) == {(path, "Invalid")}


EVENT = {
    "metadata": {"name": "e", "namespace": "default"},
    "involvedObject": {"kind": "Pod", "name": "p"},
    "reason": "r",
    "message": "m",
    "count": 3,
    "firstTimestamp": "2026-01-01T00:00:00Z",
    "lastTimestamp": "2026-01-02T00:00:00Z",
    "source": {"component": "kubelet", "host": "n"},
    "series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"},
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "action": "a",
    "related": {"kind": "Node", "name": "n"},
    "reportingComponent": "c",
    "reportingInstance": "i",
    "type": "Normal",
}


def test_an_event_comes_back_with_every_field() -> None:
    event = codec.from_builtins(EVENT, core_v1.Event)
    newer = from_core(event)
    assert to_core(newer) == event
    assert codec.to_builtins(newer)["deprecatedSource"] == EVENT["source"]
    assert (newer.note, newer.deprecated_count, newer.api_version) == ("m", 3, "events.k8s.io/v1")
    assert set(event.__struct_fields__) - {"kind", "api_version"} <= set(EVENT_FIELDS)


EVENT_FIELDS = tuple(codec.from_builtins(EVENT, core_v1.Event).__struct_fields__)


def test_an_older_event_need_not_be_a_newer_one_and_has_a_time_there() -> None:
    obj = from_core(codec.from_builtins({**EVENT, "eventTime": None, "action": None}, core_v1.Event))
    assert list(row("events").strategy.validate(obj)) == []
    assert isinstance(obj, events_v1.Event)
    assert obj.event_time == "2026-01-01T00:00:00.000000Z"


def test_a_new_event_is_complete_and_has_nothing_deprecated() -> None:
    obj = from_core(
        codec.from_builtins(
            {**EVENT, "action": None, "reportingComponent": "", "type": "Odd", "firstTimestamp": None}, core_v1.Event
        )
    )
    obj.event_time = None
    assert {fault.field for fault in row("events").strategy.validate_create(obj)} == {
        "eventTime", "action", "reportingController", "type", "deprecatedCount", "deprecatedLastTimestamp", "deprecatedSource",
    }  # fmt: skip


def test_events_are_selected_by_the_names_of_their_version() -> None:
    obj = from_core(codec.from_builtins(EVENT, core_v1.Event))
    fields = {name: cell(obj) for name, cell in row("events").fields.items()}
    assert fields == {
        "reason": "r", "reportingController": "c", "type": "Normal", "regarding.kind": "Pod", "regarding.name": "p",
        "regarding.namespace": "", "regarding.uid": "", "regarding.apiVersion": "", "regarding.resourceVersion": "",
        "regarding.fieldPath": "",
    }  # fmt: skip


def test_both_versions_lie_in_one_place() -> None:
    assert row("horizontalpodautoscalers", "v1").prefix == row("horizontalpodautoscalers", "v2").prefix
    assert row("events").prefix == "/registry/core/events/"
    assert row("horizontalpodautoscalers", "v1").type is autoscaling_v1.HorizontalPodAutoscaler
    assert kind("events").group == "events.k8s.io"
