"""Whoever writes a network policy is warned of the nodes that do not enforce it."""

from apimachinery.core.well_known import NETWORK_POLICY_CONDITION
from apimachinery.types.core_v1 import Node, NodeCondition, NodeStatus
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.registry.networking.networkpolicies import unenforced


def node(name: str, status: str = "", message: str = "") -> Node:
    said = [NodeCondition(type=NETWORK_POLICY_CONDITION, status=status, message=message)] if status else None
    return Node(metadata=ObjectMeta(name=name), status=NodeStatus(conditions=said))


def test_nodes_that_enforce_policies_are_no_reason_to_warn() -> None:
    assert list(unenforced([])) == []
    assert list(unenforced([node("a", "True"), node("b", "True")])) == []


def test_a_node_that_cannot_is_named_with_its_reason() -> None:
    (warning,) = unenforced([node("a", "True"), node("b", "False", "ipset: No such file or directory")])
    assert warning.startswith("network policies are not enforced on b: ipset: No such file or directory")


def test_a_node_that_has_said_nothing_is_named_too() -> None:
    (warning,) = unenforced([node("a")])
    assert "on a: no kube-proxy has reported that it does" in warning


def test_a_warning_is_short_however_many_nodes_there_are_and_whatever_they_say() -> None:
    (warning,) = unenforced([node(f"node-{number}", "False", "x" * 5000) for number in range(500)])
    assert "node-0, node-1, node-10 and 497 more" in warning
    assert len(warning) < 400
