"""The conditions of a pod that are the kubelet's, from its phase and its containers' statuses. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from apimachinery.core import containers
from apimachinery.types import core_v1

OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
DISRUPTION = "DisruptionTarget"
"""Told by whoever ends the pod for another's sake: the kubelet, or somebody through the API. The first word counts."""


def conditions(
    pod: core_v1.Pod,
    before: core_v1.PodStatus,
    phase: str,
    init_statuses: Sequence[core_v1.ContainerStatus],
    statuses: Sequence[core_v1.ContainerStatus],
    *,
    has_sandbox: bool,
    now: str,
) -> list[core_v1.PodCondition]:
    """Ours, each with the time of its last change, then those of others as they were."""
    old = {one.type: one for one in before.conditions or ()}
    others = [one for one in before.conditions or () if one.type not in OWN_CONDITIONS]
    ready_containers = _containers_ready(pod, phase, init_statuses, statuses)
    fresh = [
        core_v1.PodCondition(type="PodReadyToStartContainers", status="True" if has_sandbox else "False"),
        _initialized(pod, phase, init_statuses, statuses),
        _ready(pod, ready_containers, old),
        ready_containers,
    ]
    for condition in fresh:
        known = old.get(condition.type)
        same = known is not None and known.status == condition.status
        condition.last_transition_time = known.last_transition_time if known and same else now
    return [*fresh, *others]


def disrupted(present: Sequence[core_v1.PodCondition], message: str, now: str) -> list[core_v1.PodCondition]:
    """With the condition that tells that the kubelet ended the pod; as it was, if it has it."""
    if any(one.type == DISRUPTION for one in present):
        return [*present]
    told = core_v1.PodCondition(
        type=DISRUPTION,
        status="True",
        reason="TerminationByKubelet",
        message=message,
        last_transition_time=now,
    )
    return [*present, told]


def has_initialized(
    pod: core_v1.Pod, init_statuses: Sequence[core_v1.ContainerStatus], statuses: Sequence[core_v1.ContainerStatus]
) -> bool:
    """Every init_statuses container is done, and every sidecar has started; it stays so once a container has run."""
    begun = any(one.state.running or one.state.terminated or one.last_state.terminated for one in statuses)
    return begun or not _incomplete(pod, init_statuses)


def _incomplete(pod: core_v1.Pod, init_statuses: Sequence[core_v1.ContainerStatus]) -> list[str]:
    restartable = {one.name for one in containers.sidecars(pod)}
    return [one.name for one in init_statuses if not (one.started if one.name in restartable else one.ready)]


def _initialized(
    pod: core_v1.Pod,
    phase: str,
    init_statuses: Sequence[core_v1.ContainerStatus],
    statuses: Sequence[core_v1.ContainerStatus],
) -> core_v1.PodCondition:
    condition = core_v1.PodCondition(type="Initialized", status="True")
    if phase == "Succeeded":
        condition.reason = "PodCompleted"
    elif phase != "Failed" and has_initialized(pod, init_statuses, statuses):
        return condition
    elif incomplete := _incomplete(pod, init_statuses):
        condition.status, condition.reason = "False", "ContainersNotInitialized"
        condition.message = f"containers with incomplete status: [{' '.join(incomplete)}]"
    return condition


def _containers_ready(
    pod: core_v1.Pod,
    phase: str,
    init_statuses: Sequence[core_v1.ContainerStatus],
    statuses: Sequence[core_v1.ContainerStatus],
) -> core_v1.PodCondition:
    condition = core_v1.PodCondition(type="ContainersReady", status="False")
    restartable = {one.name for one in containers.sidecars(pod)}
    lasting = [*(one for one in init_statuses if one.name in restartable), *statuses]
    unready = [one.name for one in lasting if not one.ready]
    if phase == "Succeeded":
        condition.reason = "PodCompleted"
    elif phase == "Failed":
        condition.reason = "PodFailed"
    elif unready:
        condition.reason = "ContainersNotReady"
        condition.message = f"containers with unready status: [{' '.join(unready)}]"
    else:
        condition.status = "True"
    return condition


def _ready(
    pod: core_v1.Pod, containers_ready: core_v1.PodCondition, known: Mapping[str, core_v1.PodCondition]
) -> core_v1.PodCondition:
    ready = msgspec.structs.replace(containers_ready, type="Ready")
    gates = [gate.condition_type for gate in pod.spec.readiness_gates or ()]
    missing = [gate for gate in gates if gate not in known or known[gate].status != "True"]
    if ready.status == "True" and missing:
        ready.status, ready.reason = "False", "ReadinessGatesNotReady"
        ready.message = f"corresponding conditions of pod readiness gates are not met: [{' '.join(missing)}]"
    return ready
