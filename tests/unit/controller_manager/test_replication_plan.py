"""How many pods are created, which ones are deleted first, and what the status says."""

from datetime import UTC, datetime

import pytest

from apimachinery import meta
from apimachinery.types.core_v1 import ContainerStatus
from controller_manager.pod_control import pod_from_template
from controller_manager.replication_plan import BURST, Plan, least_loss_first, plan, status
from tests.objects import ago, make_controller, make_pod

OLD = make_pod("old", node="n1", ready=True, age=600)
YOUNG = make_pod("young", node="n2", ready=True, age=5)
UNREADY = make_pod("unready", node="n3", ready=False, age=600)
PENDING = make_pod("pending", node="n4", phase="Pending", age=600)
UNASSIGNED = make_pod("unassigned", phase="Pending", age=600)


@pytest.mark.parametrize(
    ("want", "pods", "expected"),
    [
        pytest.param(2, [OLD, YOUNG], Plan(), id="steady"),
        pytest.param(3, [OLD], Plan(create=2), id="too few"),
        pytest.param(BURST + 1, [], Plan(create=BURST), id="not all at once"),
        pytest.param(1, [OLD, YOUNG], Plan(delete=(YOUNG,)), id="ready for a shorter time goes first"),
        pytest.param(2, [OLD, UNREADY, YOUNG], Plan(delete=(UNREADY,)), id="not ready before ready"),
        pytest.param(0, [OLD], Plan(delete=(OLD,)), id="none wanted"),
    ],
)
def test_plan(want: int, pods: list, expected: Plan) -> None:
    assert plan(want, pods) == expected


def test_the_whole_order_of_loss() -> None:
    pods = [OLD, YOUNG, UNREADY, PENDING, UNASSIGNED]
    assert least_loss_first(pods) == [UNASSIGNED, PENDING, UNREADY, YOUNG, OLD]


def test_a_cheap_pod_then_a_crowded_node_then_a_restarted_one_go_first() -> None:
    a, b, alone = (make_pod(n, node=node, ready=True) for n, node in (("a", "n1"), ("b", "n1"), ("c", "n2")))
    assert least_loss_first([alone, a, b])[-1] is alone
    b.status.container_statuses = [ContainerStatus(name="c", restart_count=3)]
    assert least_loss_first([alone, a, b]) == [b, a, alone]
    alone.metadata.annotations = {"controller.kubernetes.io/pod-deletion-cost": "-1"}
    assert least_loss_first([alone, a, b])[0] is alone


def test_a_pod_of_the_template_is_owned_and_named_after_its_controller() -> None:
    controller = make_controller("web", labels={"app": "web"}, namespace="shop")
    assert controller.spec.template is not None
    pod = pod_from_template(controller, controller.spec.template)
    assert (pod.metadata.generate_name, pod.metadata.namespace) == ("web-", "shop")
    owner = meta.controller_of(pod)
    assert owner is not None
    assert (owner.kind, owner.name, owner.uid, owner.block_owner_deletion) == (
        "ReplicationController",
        "web",
        "uid-web",
        True,
    )
    assert pod.spec == controller.spec.template.spec
    assert pod.spec is not controller.spec.template.spec


def test_status_counts_what_is_ready_for_long_enough() -> None:
    controller = make_controller(labels={"app": "rc"})
    controller.spec.min_ready_seconds = 60
    controller.metadata.generation = 7
    pods = [make_pod("a", ready=True, age=100, labels={"app": "rc"}), make_pod("b", ready=True, age=5), UNREADY]
    new = status(controller, pods, None, "", datetime.now(UTC))
    assert (new.replicas, new.ready_replicas, new.available_replicas) == (3, 2, 1)
    assert (new.fully_labeled_replicas, new.observed_generation, new.conditions) == (1, 7, None)


def test_a_failure_is_a_condition_until_it_passes_and_keeps_its_first_message() -> None:
    controller, now = make_controller(), datetime.now(UTC)
    first = status(controller, [], "quota is used up", "FailedCreate", now)
    assert first.conditions is not None
    assert [(condition.type, condition.reason, condition.message) for condition in first.conditions] == [
        ("ReplicaFailure", "FailedCreate", "quota is used up")
    ]
    controller.status = first
    again = status(controller, [], "still used up", "FailedCreate", now)
    assert again == first
    assert status(controller, [], None, "", now).conditions is None


def test_a_pod_without_a_timestamp_is_older_than_any_other() -> None:
    nameless = make_pod("x", node="n1", ready=True)
    nameless.metadata.creation_timestamp = None
    assert nameless.status.conditions is not None
    nameless.status.conditions[0].last_transition_time = ago(60)
    other = make_pod("y", node="n2", ready=True, age=60)
    other.status.conditions = nameless.status.conditions
    assert least_loss_first([nameless, other]) == [other, nameless]
