"""How long a node has been silent, and what that makes of its conditions and taints. Pure.

Silence is measured by the observer's own clock, from when it saw a heartbeat *change*; what time the node believes it
is plays no part. Time in which the observer itself could not hear anything does not count against anyone.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from apimachinery import meta
from apimachinery.types.coordination_v1 import Lease
from apimachinery.types.core_v1 import Node, NodeCondition, Taint

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
_OURS: Final = (NOT_READY, UNREACHABLE)

PRESSURES: Final = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
"""Conditions that keep pods from being scheduled while they are True, and the taints that say so."""

_REPORTED: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""The conditions that a kubelet reports, and that nobody knows when it is silent."""


@dataclass
class _Heard:
    beat: tuple[str, str]
    at: float


class Heartbeats:
    """When each node was last heard."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}

    def observe(self, node: Node, lease: Lease | None, now: float) -> None:
        ready = condition(node, "Ready")
        beat = ((ready.last_heartbeat_time if ready else "") or "", (lease.spec.renew_time if lease else "") or "")
        name = meta.name_of(node)
        known = self._heard.get(name)
        if known is None or known.beat != beat:
            self._heard[name] = _Heard(beat, now)

    def silence(self, name: str, now: float) -> float:
        """Seconds; 0 for a node not observed yet."""
        known = self._heard.get(name)
        return now - known.at if known else 0.0

    def forgive(self, now: float) -> None:
        """We were deaf until now: everybody gets the whole grace period again."""
        for one in self._heard.values():
            one.at = now

    def forget(self, name: str) -> None:
        self._heard.pop(name, None)


def condition(node: Node, type: str) -> NodeCondition | None:
    return next((one for one in node.status.conditions or () if one.type == type), None)


def readiness(node: Node) -> str:
    """True, False or Unknown; a node that has never reported is Unknown."""
    ready = condition(node, "Ready")
    return ready.status if ready is not None else "Unknown"


def unknown_conditions(node: Node, now: datetime) -> list[NodeCondition]:
    """The conditions to write for a silent node; none if they are there already."""
    changed = []
    for type in _REPORTED:
        old = condition(node, type)
        if old is not None and old.status == "Unknown":
            continue
        changed.append(
            NodeCondition(
                type=type,
                status="Unknown",
                reason="NodeStatusUnknown" if old else "NodeStatusNeverUpdated",
                message="Kubelet stopped posting node status." if old else "Kubelet never posted node status.",
                last_heartbeat_time=old.last_heartbeat_time if old else node.metadata.creation_timestamp,
                last_transition_time=meta.format_time(now),
            )
        )
    return changed


def taints(node: Node, ready: str, effects: Collection[str], now: datetime) -> list[Taint] | None:
    """The node's taints as they should be, ours after the others; None if they are right.

    ``effects`` says what a node that is not ready is tainted with.
    """
    old = node.spec.taints or []
    key = {"True": None, "False": NOT_READY}.get(ready, UNREACHABLE)
    wanted = [(key, effect) for effect in effects] if key is not None else []
    wanted += [(key, "NoSchedule") for key in pressures(node)]
    kept = [one for one in old if not _is_ours(one) or (one.key, one.effect) in wanted]
    have = {(one.key, one.effect) for one in kept}
    added = [
        Taint(key=key, effect=effect, time_added=meta.format_time(now))
        for key, effect in wanted
        if (key, effect) not in have
    ]
    return [*kept, *added] if added or len(kept) != len(old) else None


def pressures(node: Node) -> list[str]:
    """The keys of the taints that the node's conditions ask for, its readiness aside."""
    found = ((condition(node, type), key) for type, key in PRESSURES.items())
    return [key for one, key in found if one is not None and one.status == "True"]


def _is_ours(taint: Taint) -> bool:
    return taint.key in _OURS or (taint.key in PRESSURES.values() and taint.effect == "NoSchedule")


def has_taint(node: Node, effect: str) -> bool:
    """Whether the node carries one of our taints with this effect."""
    return any(one.key in _OURS and one.effect == effect for one in node.spec.taints or ())
