"""What a node's status means."""

from typing import Final

from apimachinery.core import conditions, well_known
from apimachinery.types.core_v1 import Node, NodeCondition

CONDITION_TAINTS: Final = {
    "MemoryPressure": well_known.MEMORY_PRESSURE_TAINT,
    "DiskPressure": well_known.DISK_PRESSURE_TAINT,
    "PIDPressure": well_known.PID_PRESSURE_TAINT,
    "NetworkUnavailable": well_known.NETWORK_UNAVAILABLE_TAINT,
}
"""Conditions that keep pods from being scheduled while they are True, and the taints that say so."""


def condition(node: Node, type: str) -> NodeCondition | None:
    return conditions.find(node.status.conditions, type)


def readiness(node: Node) -> str:
    """True, False or Unknown; a node that has never reported is Unknown."""
    ready = condition(node, "Ready")
    return ready.status if ready is not None else "Unknown"


def is_ready(node: Node) -> bool:
    return readiness(node) == "True"


def address(node: Node, *types: str) -> str:
    """The node's first address of the first of ``types`` that it has; empty if it has none."""
    for type in types:
        for candidate in node.status.addresses or ():
            if candidate.type == type:
                return candidate.address
    return ""
