"""How many replicas an owner must create, or which ones to delete. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from apimachinery import meta
from apimachinery.core import conditions, well_known
from apimachinery.core.pods import is_ready, ready_since, seconds_until_available
from apimachinery.types.core_v1 import (
    Pod,
    ReplicationController,
    ReplicationControllerCondition,
    ReplicationControllerStatus,
)

BURST: Final = 500
"""Most pods created or deleted in one step."""

REPLICA_FAILURE: Final = "ReplicaFailure"
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Plan:
    create: int = 0
    delete: tuple[Pod, ...] = ()


def plan(want: int, pods: Sequence[Pod]) -> Plan:
    """``pods`` are those that count. Which ones to delete follows Kubernetes' order, least loss first."""
    surplus = len(pods) - want
    if surplus <= 0:
        return Plan(create=min(-surplus, BURST))
    return Plan(delete=tuple(least_loss_first(pods)[: min(surplus, BURST)]))


def least_loss_first(pods: Sequence[Pod]) -> list[Pod]:
    """Without a node, then not running, not ready, cheap, many on one node, ready for a short time, young."""
    together = Counter(pod.spec.node_name for pod in pods if pod.spec.node_name)

    def loss(pod: Pod) -> tuple[object, ...]:
        since = ready_since(pod) or _LONG_AGO
        created = meta.parse_time(pod.metadata.creation_timestamp) if pod.metadata.creation_timestamp else _LONG_AGO
        return (
            bool(pod.spec.node_name),
            {"Pending": 0, "Unknown": 1}.get(pod.status.phase or "", 2),
            is_ready(pod),
            _deletion_cost(pod),
            -together[pod.spec.node_name or ""],
            -since.timestamp(),
            -sum(container.restart_count for container in pod.status.container_statuses or ()),
            -created.timestamp(),
        )

    return sorted(pods, key=loss)


def _deletion_cost(pod: Pod) -> int:
    try:
        return int(meta.annotations_of(pod).get(well_known.DELETION_COST_ANNOTATION, "0"))
    except ValueError:
        return 0


def status(
    controller: ReplicationController, pods: Sequence[Pod], failure: str | None, failure_reason: str, now: datetime
) -> ReplicationControllerStatus:
    """What the controller's status should say. ``failure`` is why replicas could not be created or deleted."""
    template = controller.spec.template
    labels = (template.metadata.labels or {}).items() if template else {}.items()
    min_ready = controller.spec.min_ready_seconds or 0
    return ReplicationControllerStatus(
        replicas=len(pods),
        fully_labeled_replicas=sum(labels <= meta.labels_of(pod).items() for pod in pods),
        ready_replicas=sum(map(is_ready, pods)),
        available_replicas=sum(seconds_until_available(pod, min_ready, now) == 0 for pod in pods),
        observed_generation=controller.metadata.generation,
        conditions=_conditions(controller.status.conditions or [], failure, failure_reason, now),
    )


def _conditions(
    old: Sequence[ReplicationControllerCondition], failure: str | None, reason: str, now: datetime
) -> list[ReplicationControllerCondition] | None:
    if failure is None:
        return [condition for condition in old if condition.type != REPLICA_FAILURE] or None
    present = conditions.find(old, REPLICA_FAILURE)
    if present is not None and present.reason == reason:
        return [*old]  # the first failure's message stays, otherwise each retry would be a write
    failed = ReplicationControllerCondition(
        type=REPLICA_FAILURE,
        status="True",
        reason=reason,
        message=failure,
        last_transition_time=meta.format_time(now),
    )
    return conditions.set_condition(old, failed)
