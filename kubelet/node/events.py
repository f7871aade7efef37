"""What the kubelet says of its node when the node changes, in the words of Kubernetes' kubelet. Pure.

Reasons as in pkg/kubelet/events/event.go and pkg/kubelet/nodestatus/setters.go.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from apimachinery.core.conditions import find
from apimachinery.types import core_v1


class NodeEvent(NamedTuple):
    type: str
    reason: str
    message: str


# by condition: what is said when it becomes True, and when it becomes False
_REASONS: Final = {
    "MemoryPressure": ("NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
    "DiskPressure": ("NodeHasDiskPressure", "NodeHasNoDiskPressure"),
    "PIDPressure": ("NodeHasInsufficientPID", "NodeHasSufficientPID"),
    "Ready": ("NodeReady", "NodeNotReady"),
}


def status_events(name: str, before: core_v1.NodeStatus, after: core_v1.NodeStatus) -> Iterator[NodeEvent]:
    """Of conditions that have changed, and of a machine that was booted anew.

    A node that has never reported Ready does not say that it is not.
    """
    old_boot, new_boot = _boot_id(before), _boot_id(after)
    if old_boot and old_boot != new_boot:
        yield NodeEvent("Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {new_boot}")
    for type, (when_true, when_false) in _REASONS.items():
        old, new = find(before.conditions, type), find(after.conditions, type)
        if new is None or (old is not None and old.status == new.status):
            continue
        if old is None and type == "Ready" and new.status != "True":
            continue
        yield _status_is_now(name, when_true if new.status == "True" else when_false)


def schedulable_event(name: str, *, unschedulable: bool) -> NodeEvent:
    """Of a node that was cordoned, or that takes new pods again."""
    return _status_is_now(name, "NodeNotSchedulable" if unschedulable else "NodeSchedulable")


def _status_is_now(name: str, reason: str) -> NodeEvent:
    return NodeEvent("Normal", reason, f"Node {name} status is now: {reason}")


def _boot_id(status: core_v1.NodeStatus) -> str:
    return (status.node_info.boot_id if status.node_info else None) or ""
