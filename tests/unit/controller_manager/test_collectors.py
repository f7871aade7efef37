"""Which pods are collected, what a namespace says while it is being deleted, which controllers run."""

import pytest

from apimachinery.scheme import Resource
from apimachinery.types.core_v1 import Namespace
from controller_manager.api_resources import ApiResource, Discovery
from controller_manager.garbage_collector import collectable
from controller_manager.manager import enabled
from controller_manager.namespace import Remaining, deletion_conditions
from controller_manager.pod_gc import orphaned, terminated, unscheduled_terminating
from tests.objects import make_pod


def test_the_oldest_terminated_pods_are_deleted_when_there_are_too_many() -> None:
    phases = {30: "Failed", 90: "Succeeded", 60: "Failed"}
    pods = [make_pod(f"p{age}", phase=phase, age=age) for age, phase in phases.items()] + [make_pod("running", age=999)]
    assert [pod.metadata.name for pod in terminated(pods, 1)] == ["p90", "p60"]
    assert terminated(pods, 3) == []
    assert terminated(pods, 0) == []


def test_pods_of_gone_nodes_and_deleted_ones_without_a_node_are_removed() -> None:
    deleted = make_pod("deleted")
    deleted.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    pods = [make_pod("a", node="gone"), make_pod("b", node="n1"), make_pod("waiting"), deleted]
    assert [pod.metadata.name for pod in orphaned(pods, {"gone"})] == ["a"]
    assert unscheduled_terminating(pods) == [deleted]


def test_a_namespace_says_what_remains_and_keeps_the_time_of_what_did_not_change() -> None:
    namespace = Namespace()
    held = Remaining({"pods.": 2}, {"example.com/hold": 1})
    first = deletion_conditions(namespace, Discovery(()), held)
    by_type = {condition.type: (condition.status, condition.message) for condition in first}
    remaining = "Some resources are remaining: pods. has 2 resource instances"
    assert by_type["NamespaceContentRemaining"] == ("True", remaining)
    assert by_type["NamespaceFinalizersRemaining"][1].endswith("example.com/hold in 1 resource instances")
    assert by_type["NamespaceDeletionContentFailure"][0] == "False"
    for condition in first:
        condition.last_transition_time = "2026-01-01T00:00:00Z"
    namespace.status.conditions = first
    discovery = Discovery((), ("x/v1: unavailable",))
    second = {
        condition.type: condition for condition in deletion_conditions(namespace, discovery, Remaining({"pods.": 1}))
    }
    assert second["NamespaceContentRemaining"].last_transition_time == "2026-01-01T00:00:00Z"
    assert second["NamespaceFinalizersRemaining"].last_transition_time != "2026-01-01T00:00:00Z"
    assert second["NamespaceDeletionDiscoveryFailure"].status == "True"


def test_only_what_can_be_watched_and_deleted_is_collected_and_events_never() -> None:
    def resource(version: str, kind: str, *verbs: str) -> ApiResource:
        return ApiResource(Resource("", version, kind, kind.lower(), True), frozenset(verbs))

    pods = resource("v1", "Pod", "list", "watch", "delete", "get")
    events, bindings = resource("v1", "Event", "list", "watch", "delete"), resource("v1", "Binding", "create")
    assert collectable(Discovery((pods, events, bindings))) == {pods}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [(("*",), ["a", "b"]), (("*", "-a"), ["b"]), (("a",), ["a"]), ((), [])],
)
def test_which_controllers_run(selection: tuple[str, ...], expected: list[str]) -> None:
    assert enabled(selection, ["a", "b"]) == expected


def test_an_unknown_controller_is_refused() -> None:
    with pytest.raises(ValueError, match="'c' is not one of a, b"):
        enabled(("*", "-c"), ["a", "b"])
