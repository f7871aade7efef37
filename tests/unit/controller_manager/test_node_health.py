"""Silence, conditions, taints and how long a pod may stay under them."""

from datetime import UTC, datetime
from math import inf

import pytest

from apimachinery.types.coordination_v1 import Lease, LeaseSpec
from apimachinery.types.core_v1 import Node, NodeCondition, Taint, Toleration
from controller_manager.node_health import NOT_READY, UNREACHABLE, Heartbeats, taints, unknown_conditions
from controller_manager.taint_eviction import seconds_left
from tests.objects import ago, make_node, make_pod

BOTH = ("NoSchedule", "NoExecute")


def lease(moment: str) -> Lease:
    return Lease(spec=LeaseSpec(renew_time=moment))


def test_silence_counts_from_the_last_change_that_we_saw() -> None:
    beats = Heartbeats()
    node = make_node(heartbeat="2000-01-01T00:00:00Z")  # what the node's clock says plays no part
    beats.observe(node, lease("a"), 100.0)
    beats.observe(node, lease("a"), 130.0)
    assert beats.silence("n1", 140.0) == 40.0
    beats.observe(node, lease("b"), 150.0)
    assert beats.silence("n1", 160.0) == 10.0
    beats.observe(make_node(heartbeat="2000-01-01T00:00:10Z"), lease("b"), 170.0)
    assert beats.silence("n1", 175.0) == 5.0


def test_while_we_were_deaf_nobody_was_silent() -> None:
    beats = Heartbeats()
    beats.observe(make_node(), None, 0.0)
    beats.forgive(500.0)
    assert beats.silence("n1", 501.0) == 1.0
    assert beats.silence("a node never seen", 501.0) == 0.0


def test_a_silent_nodes_conditions_become_unknown_once() -> None:
    now = datetime.now(UTC)
    node = make_node()
    changed = unknown_conditions(node, now)
    assert {(one.type, one.status, one.reason) for one in changed} >= {("Ready", "Unknown", "NodeStatusUnknown")}
    node.status.conditions = changed
    assert unknown_conditions(node, now) == []


OTHER = Taint(key="dedicated", value="db", effect="NoExecute")


@pytest.mark.parametrize(
    ("before", "ready", "effects", "after"),
    [
        pytest.param([], "True", BOTH, None, id="healthy"),
        pytest.param([], "Unknown", BOTH, {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}, id="silent"),
        pytest.param([], "False", BOTH, {(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")}, id="not ready"),
        pytest.param([], "Unknown", ("NoSchedule",), {(UNREACHABLE, "NoSchedule")}, id="nobody is evicted"),
        pytest.param(
            [Taint(key=NOT_READY, effect=effect) for effect in BOTH],
            "Unknown",
            BOTH,
            {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")},
            id="from not ready to silent",
        ),
        pytest.param([OTHER, Taint(key=UNREACHABLE, effect="NoSchedule")], "True", BOTH, {("dedicated", "NoExecute")},
                     id="back, others stay"),
        pytest.param([Taint(key=UNREACHABLE, effect=effect) for effect in BOTH], "Unknown", BOTH, None, id="steady"),
        pytest.param(
            [Taint(key=UNREACHABLE, effect=effect) for effect in BOTH],
            "Unknown",
            ("NoSchedule",),
            {(UNREACHABLE, "NoSchedule")},
            id="eviction is called off",
        ),
    ],
)  # fmt: skip
def test_taints(before: list[Taint], ready: str, effects, after) -> None:
    found = taints(make_node(taints=before), ready, effects, datetime.now(UTC))
    assert (found if found is None else {(one.key, one.effect) for one in found}) == after


def pressed(*types: str) -> Node:
    node = make_node(taints=[OTHER])
    node.status.conditions = [*(node.status.conditions or ()), *(NodeCondition(type=t, status="True") for t in types)]
    return node


def test_pressure_keeps_new_pods_away_and_its_taint_goes_with_it() -> None:
    node = pressed("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable", "Other")
    found = taints(node, "True", BOTH, datetime.now(UTC)) or []
    words = ["memory-pressure", "disk-pressure", "pid-pressure", "network-unavailable"]
    assert [(one.key, one.effect) for one in found[1:]] == [
        (f"node.kubernetes.io/{word}", "NoSchedule") for word in words
    ]
    node.spec.taints = found
    assert taints(node, "True", BOTH, datetime.now(UTC)) is None
    calm = pressed()
    calm.spec.taints = [*found, Taint(key="node.kubernetes.io/disk-pressure", effect="NoExecute")]  # a person's
    left = taints(calm, "True", BOTH, datetime.now(UTC)) or []
    assert [(one.key, one.effect) for one in left] == [
        ("dedicated", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoExecute"),
    ]


def test_a_node_that_is_silent_under_pressure_has_both_taints() -> None:
    found = taints(pressed("MemoryPressure"), "Unknown", ("NoSchedule",), datetime.now(UTC)) or []
    assert {one.key for one in found} == {"dedicated", UNREACHABLE, "node.kubernetes.io/memory-pressure"}


NOW = datetime.now(UTC)  # the parameters' times are made together with it, when the module is read


def tolerates(key: str | None, seconds: int | None = None, effect: str | None = "NoExecute") -> Toleration:
    return Toleration(key=key, operator="Exists", effect=effect, toleration_seconds=seconds)


def gone_for(seconds: float) -> list[Taint]:
    return [Taint(key=UNREACHABLE, effect="NoExecute", time_added=ago(seconds))]


@pytest.mark.parametrize(
    ("tolerations", "under", "left"),
    [
        pytest.param([], [], inf, id="no taint"),
        pytest.param([tolerates(UNREACHABLE, 300)], gone_for(100), 200, id="counts from when the taint was added"),
        pytest.param([tolerates(UNREACHABLE)], gone_for(1e6), inf, id="for ever"),
        pytest.param([tolerates(None, effect=None)], [*gone_for(9), OTHER], inf, id="everything"),
        pytest.param([tolerates(UNREACHABLE, 300), tolerates(UNREACHABLE, 20)], gone_for(0), 20, id="the shortest"),
        pytest.param([tolerates(UNREACHABLE, -5)], gone_for(0), 0, id="negative is at once"),
        pytest.param([], gone_for(0), 77, id="says nothing: the flag's default"),
        pytest.param([tolerates(UNREACHABLE)], [OTHER], 0, id="another taint, not tolerated"),
        pytest.param([tolerates(UNREACHABLE, effect="NoSchedule")], gone_for(0), 77, id="another effect"),
    ],
)
def test_how_long_a_pod_may_stay(tolerations: list[Toleration], under: list[Taint], left: float) -> None:
    pod = make_pod(tolerations=tolerations)
    assert seconds_left(pod, under, 77, NOW) == pytest.approx(left, abs=2)
