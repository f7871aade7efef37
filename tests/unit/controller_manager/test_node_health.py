"""Silence, conditions, taints and how long a pod may stay under them."""

from datetime import UTC, datetime
from math import inf

import pytest

from apimachinery.core import conditions
from apimachinery.core.well_known import NOT_READY_TAINT, UNREACHABLE_TAINT
from apimachinery.types.coordination_v1 import Lease, LeaseSpec
from apimachinery.types.core_v1 import Node, NodeCondition, Taint, Toleration
from controller_manager.node_health import Heartbeats, taints, unknown_conditions
from controller_manager.taint_eviction import seconds_left
from tests.objects import ago, make_node, make_pod

BOTH = ("NoSchedule", "NoExecute")


def lease(moment: str) -> Lease:
    return Lease(spec=LeaseSpec(renew_time=moment))


def test_silence_counts_from_the_last_observed_change() -> None:
    heartbeats = Heartbeats()
    node = make_node(heartbeat="2000-01-01T00:00:00Z")  # what the node's clock says plays no part
    heartbeats.observe(node, lease("a"), 100.0)
    heartbeats.observe(node, lease("a"), 130.0)
    assert heartbeats.silence("n1", 140.0) == 40.0
    heartbeats.observe(node, lease("b"), 150.0)
    assert heartbeats.silence("n1", 160.0) == 10.0
    heartbeats.observe(make_node(heartbeat="2000-01-01T00:00:10Z"), lease("b"), 170.0)
    assert heartbeats.silence("n1", 175.0) == 5.0


def test_while_we_were_cut_off_no_node_was_silent() -> None:
    heartbeats = Heartbeats()
    heartbeats.observe(make_node(), None, 0.0)
    heartbeats.reset(500.0)
    assert heartbeats.silence("n1", 501.0) == 1.0
    assert heartbeats.silence("a node never seen", 501.0) == 0.0


def test_a_silent_nodes_conditions_become_unknown_once() -> None:
    now = datetime.now(UTC)
    node = make_node()
    changed = unknown_conditions(node, now)
    ready = conditions.find(changed, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("Unknown", "NodeStatusUnknown")
    node.status.conditions = changed
    assert unknown_conditions(node, now) == []


OTHER = Taint(key="dedicated", value="db", effect="NoExecute")


@pytest.mark.parametrize(
    ("before", "ready", "effects", "after"),
    [
        pytest.param([], "True", BOTH, None, id="healthy"),
        pytest.param([], "Unknown", BOTH, {(UNREACHABLE_TAINT, "NoSchedule"), (UNREACHABLE_TAINT, "NoExecute")}, id="silent"),
        pytest.param([], "False", BOTH, {(NOT_READY_TAINT, "NoSchedule"), (NOT_READY_TAINT, "NoExecute")}, id="not ready"),
        pytest.param([], "Unknown", ("NoSchedule",), {(UNREACHABLE_TAINT, "NoSchedule")}, id="no pod is evicted"),
        pytest.param(
            [Taint(key=NOT_READY_TAINT, effect=effect) for effect in BOTH],
            "Unknown",
            BOTH,
            {(UNREACHABLE_TAINT, "NoSchedule"), (UNREACHABLE_TAINT, "NoExecute")},
            id="from not ready to silent",
        ),
        pytest.param([OTHER, Taint(key=UNREACHABLE_TAINT, effect="NoSchedule")], "True", BOTH, {("dedicated", "NoExecute")},
                     id="back, others stay"),
        pytest.param([Taint(key=UNREACHABLE_TAINT, effect=effect) for effect in BOTH], "Unknown", BOTH, None, id="steady"),
        pytest.param(
            [Taint(key=UNREACHABLE_TAINT, effect=effect) for effect in BOTH],
            "Unknown",
            ("NoSchedule",),
            {(UNREACHABLE_TAINT, "NoSchedule")},
            id="eviction is called off",
        ),
    ],
)  # fmt: skip
def test_taints(before: list[Taint], ready: str, effects, after) -> None:
    changed = taints(make_node(taints=before), ready, effects, datetime.now(UTC))
    assert (changed if changed is None else {(taint.key, taint.effect) for taint in changed}) == after


def pressed(*types: str) -> Node:
    node = make_node(taints=[OTHER])
    node.status.conditions = [*(node.status.conditions or ()), *(NodeCondition(type=t, status="True") for t in types)]
    return node


def test_a_cordon_is_a_taint_until_it_ends() -> None:
    node = make_node(taints=[OTHER])
    node.spec.unschedulable = True
    node.spec.taints = taints(node, "True", BOTH, datetime.now(UTC))
    assert [(taint.key, taint.effect) for taint in node.spec.taints or ()] == [
        ("dedicated", "NoExecute"), ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ]  # fmt: skip
    assert taints(node, "True", BOTH, datetime.now(UTC)) is None
    node.spec.unschedulable = None
    assert taints(node, "True", BOTH, datetime.now(UTC)) == [OTHER]


def test_pressure_keeps_new_pods_away_and_its_taint_is_removed_with_it() -> None:
    node = pressed("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable", "Other")
    pressed_taints = taints(node, "True", BOTH, datetime.now(UTC)) or []
    words = ["memory-pressure", "disk-pressure", "pid-pressure", "network-unavailable"]
    assert [(taint.key, taint.effect) for taint in pressed_taints[1:]] == [
        (f"node.kubernetes.io/{word}", "NoSchedule") for word in words
    ]
    node.spec.taints = pressed_taints
    assert taints(node, "True", BOTH, datetime.now(UTC)) is None
    calm = pressed()
    calm.spec.taints = [
        *pressed_taints,
        Taint(key="node.kubernetes.io/disk-pressure", effect="NoExecute"),
    ]  # a person's
    remaining = taints(calm, "True", BOTH, datetime.now(UTC)) or []
    assert [(taint.key, taint.effect) for taint in remaining] == [
        ("dedicated", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoExecute"),
    ]


def test_a_node_that_is_silent_under_pressure_has_both_taints() -> None:
    changed = taints(pressed("MemoryPressure"), "Unknown", ("NoSchedule",), datetime.now(UTC)) or []
    assert {taint.key for taint in changed} == {"dedicated", UNREACHABLE_TAINT, "node.kubernetes.io/memory-pressure"}


NOW = datetime.now(UTC)  # the parameters' times are made together with it, when the module is read


def tolerates(key: str | None, seconds: int | None = None, effect: str | None = "NoExecute") -> Toleration:
    return Toleration(key=key, operator="Exists", effect=effect, toleration_seconds=seconds)


def silent_for(seconds: float) -> list[Taint]:
    return [Taint(key=UNREACHABLE_TAINT, effect="NoExecute", time_added=ago(seconds))]


@pytest.mark.parametrize(
    ("tolerations", "taints", "left"),
    [
        pytest.param([], [], inf, id="no taint"),
        pytest.param(
            [tolerates(UNREACHABLE_TAINT, 300)], silent_for(100), 200, id="counts from when the taint was added"
        ),
        pytest.param([tolerates(UNREACHABLE_TAINT)], silent_for(1e6), inf, id="without limit"),
        pytest.param([tolerates(None, effect=None)], [*silent_for(9), OTHER], inf, id="everything"),
        pytest.param(
            [tolerates(UNREACHABLE_TAINT, 300), tolerates(UNREACHABLE_TAINT, 20)], silent_for(0), 20, id="the shortest"
        ),
        pytest.param([tolerates(UNREACHABLE_TAINT, -5)], silent_for(0), 0, id="negative is at once"),
        pytest.param([], silent_for(0), 77, id="says nothing: the flag's default"),
        pytest.param([tolerates(UNREACHABLE_TAINT)], [OTHER], 0, id="another taint, not tolerated"),
        pytest.param([tolerates(UNREACHABLE_TAINT, effect="NoSchedule")], silent_for(0), 77, id="another effect"),
    ],
)
def test_how_long_a_pod_may_stay(tolerations: list[Toleration], taints: list[Taint], left: float) -> None:
    pod = make_pod(tolerations=tolerations)
    assert seconds_left(pod, taints, 77, NOW) == pytest.approx(left, abs=2)
