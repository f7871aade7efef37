"""How long a node has been silent, and which conditions and taints follow. Pure.

Silence is measured by the observer's own clock, from when it saw a heartbeat *change*; the node's clock plays no part.
Time in which the observer itself was cut off does not count as silence.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from apimachinery import meta
from apimachinery.core import conditions, well_known
from apimachinery.core.nodes import CONDITION_TAINTS, condition
from apimachinery.core.tolerations import NO_SCHEDULE
from apimachinery.types.coordination_v1 import Lease
from apimachinery.types.core_v1 import Node, NodeCondition, Taint

READINESS_TAINTS: Final = {"False": well_known.NOT_READY_TAINT, "Unknown": well_known.UNREACHABLE_TAINT}
"""The taint of a node whose Ready condition is not True, by its status."""

_REPORTED: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""The conditions that a kubelet reports, and that are unknown while it is silent."""


@dataclass
class _Heartbeat:
    times: tuple[str, str]
    observed_at: float


class Heartbeats:
    """When each node's last heartbeat was observed."""

    def __init__(self) -> None:
        self._last: dict[str, _Heartbeat] = {}

    def observe(self, node: Node, lease: Lease | None, now: float) -> None:
        ready = condition(node, "Ready")
        times = ((ready.last_heartbeat_time if ready else "") or "", (lease.spec.renew_time if lease else "") or "")
        name = meta.name_of(node)
        last = self._last.get(name)
        if last is None or last.times != times:
            self._last[name] = _Heartbeat(times, now)

    def silence(self, name: str, now: float) -> float:
        """Seconds; 0 for a node not observed yet."""
        last = self._last.get(name)
        return now - last.observed_at if last else 0.0

    def reset(self, now: float) -> None:
        """Heartbeats could not be observed until now: each node has the whole grace period again."""
        for heartbeat in self._last.values():
            heartbeat.observed_at = now

    def forget(self, name: str) -> None:
        self._last.pop(name, None)


def unknown_conditions(node: Node, now: datetime) -> list[NodeCondition]:
    """The conditions to write for a silent node; none if it has them already."""
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

    ``effects`` are those of the taint of a node that is not ready.
    """
    present = node.spec.taints or []
    required = [(key, NO_SCHEDULE) for key in no_schedule_taints(node)]
    if ready != "True":
        required = [
            (READINESS_TAINTS.get(ready, well_known.UNREACHABLE_TAINT), effect) for effect in effects
        ] + required
    remaining = [taint for taint in present if not _is_ours(taint) or (taint.key, taint.effect) in required]
    carried = {(taint.key, taint.effect) for taint in remaining}
    missing = [
        Taint(key=key, effect=effect, time_added=meta.format_time(now))
        for key, effect in required
        if (key, effect) not in carried
    ]
    return [*remaining, *missing] if missing or len(remaining) != len(present) else None


def no_schedule_taints(node: Node) -> list[str]:
    """The keys of the taints that a cordon and the node's conditions require, its readiness aside."""
    keys = [key for type, key in CONDITION_TAINTS.items() if conditions.is_true(node.status.conditions, type)]
    return [*keys, well_known.UNSCHEDULABLE_TAINT] if node.spec.unschedulable else keys


def has_readiness_taint(node: Node, effect: str) -> bool:
    return any(taint.key in READINESS_TAINTS.values() and taint.effect == effect for taint in node.spec.taints or ())


def _is_ours(taint: Taint) -> bool:
    if taint.key in READINESS_TAINTS.values():
        return True
    keys = {*CONDITION_TAINTS.values(), well_known.UNSCHEDULABLE_TAINT}
    return taint.key in keys and taint.effect == NO_SCHEDULE
