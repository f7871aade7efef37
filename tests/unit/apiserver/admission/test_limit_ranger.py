"""Limit ranges as tables: what is filled in, and what is refused in which words."""

from typing import Any

import pytest

from apimachinery import codec
from apimachinery.types.core_v1 import LimitRange, PersistentVolumeClaim, Pod
from apiserver.admission.limit_ranger import ANNOTATION, fill, violations


def limit_range(kind: str, **amounts: Any) -> LimitRange:
    return codec.from_builtins({"spec": {"limits": [{"type": kind, **amounts}]}}, LimitRange)


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = ()) -> Pod:
    return codec.from_builtins({"spec": {"containers": containers, "initContainers": init}}, Pod)


def container(
    name: str, requests: dict[str, str] | None = None, limits: dict[str, str] | None = None
) -> dict[str, Any]:
    return {"name": name, "image": "i", "resources": {"requests": requests or {}, "limits": limits or {}}}


DEFAULTS = limit_range("Container", default={"cpu": "200m", "memory": "1Gi"}, defaultRequest={"cpu": "100m"})


def test_only_what_a_container_does_not_say_is_filled_in_and_written_down() -> None:
    filled = pod(container("a", {"cpu": "50m"}, {"memory": "2Gi"}), init=(container("i"),))
    fill(filled, DEFAULTS)
    first, second = filled.spec.containers[0].resources, (filled.spec.init_containers or [])[0].resources
    assert (first.requests, first.limits) == ({"cpu": "50m"}, {"memory": "2Gi", "cpu": "200m"})
    assert (second.requests, second.limits) == ({"cpu": "100m"}, {"cpu": "200m", "memory": "1Gi"})
    assert (filled.metadata.annotations or {})[ANNOTATION] == (
        "LimitRanger plugin set: cpu limit for container a; cpu request for init container i; "
        "cpu, memory limit for init container i"
    )


def test_a_complete_pod_gets_no_annotation() -> None:
    complete = pod(container("a", {"cpu": "1"}, {"cpu": "1", "memory": "1Gi"}))
    fill(complete, DEFAULTS)
    assert ANNOTATION not in (complete.metadata.annotations or {})


@pytest.mark.parametrize(
    ("bounds", "requests", "limits", "fault"),
    [
        ({"min": {"cpu": "100m"}}, {}, {}, "minimum cpu usage per {} is 100m.  No request is specified"),
        ({"min": {"cpu": "100m"}}, {"cpu": "50m"}, {}, "minimum cpu usage per {} is 100m, but request is 50m"),
        ({"min": {"cpu": "1"}}, {"cpu": "1"}, {"cpu": "999m"}, "minimum cpu usage per {} is 1, but limit is 999m"),
        ({"min": {"cpu": "100m"}}, {"cpu": "0.1"}, {}, ""),
        ({"max": {"memory": "1Gi"}}, {}, {}, "maximum memory usage per {} is 1Gi.  No limit is specified"),
        ({"max": {"memory": "1Gi"}}, {}, {"memory": "2Gi"}, "maximum memory usage per {} is 1Gi, but limit is 2Gi"),
        ({"max": {"memory": "1Ki"}}, {"memory": "2Ki"}, {"memory": "1Ki"},
         "maximum memory usage per {} is 1Ki, but request is 2Ki"),
        ({"max": {"memory": "1Ki"}}, {}, {"memory": "1024"}, ""),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, {"cpu": "0"}, {"cpu": "1"},
         "cpu max limit to request ratio per {} is 2, but no request is specified or request is 0"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, {"cpu": "1"}, {},
         "cpu max limit to request ratio per {} is 2, but no limit is specified or limit is 0"),
        ({"maxLimitRequestRatio": {"cpu": "1500m"}}, {"cpu": "3"}, {"cpu": "5"},
         "cpu max limit to request ratio per {} is 1500m, but provided ratio is 1.666667"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, {"cpu": "1"}, {"cpu": "2"}, ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["Container", "Pod"])
def test_bounds_of_containers_and_pods(
    kind: str, bounds: dict[str, Any], requests: dict[str, str], limits: dict[str, str], fault: str
) -> None:
    faults = list(violations(pod(container("a", requests, limits)), limit_range(kind, **bounds)))
    assert faults == ([fault.format(kind)] if fault else [])


def test_a_pod_is_bounded_as_a_whole() -> None:
    both = pod(container("a", {"cpu": "1"}, {"cpu": "1"}), container("b", {"cpu": "1"}, {"cpu": "1500m"}))
    assert list(violations(both, limit_range("Pod", max={"cpu": "2"}))) == [
        "maximum cpu usage per Pod is 2, but limit is 2500m"
    ]
    assert not list(violations(both, limit_range("Container", max={"cpu": "2"})))


@pytest.mark.parametrize(
    ("storage", "fault"),
    [
        ("1Gi", "minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi"),
        ("2Gi", ""),
        ("9Gi", "maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 9Gi"),
    ],
)
def test_bounds_of_claims(storage: str, fault: str) -> None:
    claim = codec.from_builtins({"spec": {"resources": {"requests": {"storage": storage}}}}, PersistentVolumeClaim)
    bounds = limit_range("PersistentVolumeClaim", min={"storage": "2Gi"}, max={"storage": "5Gi"})
    assert list(violations(claim, bounds)) == ([fault] if fault else [])
