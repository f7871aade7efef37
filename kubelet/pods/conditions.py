"""The conditions of a pod that are the kubelet's, from its phase and its containers' statuses. Pure."""

from collections.abc import Sequence

import msgspec

from apimachinery.core import containers
from apimachinery.core.conditions import find, is_true
from apimachinery.types import core_v1

OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
DISRUPTION_TARGET = "DisruptionTarget"
"""Set by whoever ends the pod for another's sake: the kubelet, or an eviction through the API. The first one counts."""


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
    """The kubelet's own, each with the time of its last change, then those of others as they were."""
    others = [condition for condition in before.conditions or () if condition.type not in OWN_CONDITIONS]
    ready_containers = _containers_ready(pod, phase, init_statuses, statuses)
    own = [
        core_v1.PodCondition(type="PodReadyToStartContainers", status="True" if has_sandbox else "False"),
        _initialized(pod, phase, init_statuses, statuses),
        _ready(pod, ready_containers, others),
        ready_containers,
        core_v1.PodCondition(type="PodScheduled", status="True"),  # not every pod has come through the scheduler
    ]
    for condition in own:
        old = find(before.conditions, condition.type)
        changed = old is None or old.status != condition.status
        condition.last_transition_time = now if old is None or changed else old.last_transition_time
    return [*own, *others]


def with_disruption_target(
    present: Sequence[core_v1.PodCondition], message: str, now: str
) -> list[core_v1.PodCondition]:
    """With the condition that the kubelet ended the pod; unchanged if it has one already."""
    if find(present, DISRUPTION_TARGET) is not None:
        return [*present]
    disruption = core_v1.PodCondition(
        type=DISRUPTION_TARGET,
        status="True",
        reason="TerminationByKubelet",
        message=message,
        last_transition_time=now,
    )
    return [*present, disruption]


def has_initialized(
    pod: core_v1.Pod, init_statuses: Sequence[core_v1.ContainerStatus], statuses: Sequence[core_v1.ContainerStatus]
) -> bool:
    """Every init container has succeeded and every sidecar has started; it stays so while a container runs or has ended."""
    has_run = any(s.state.running or s.state.terminated for s in statuses)
    return has_run or not _incomplete(pod, init_statuses)


def _incomplete(pod: core_v1.Pod, init_statuses: Sequence[core_v1.ContainerStatus]) -> list[str]:
    """Names of the init containers that have not done their work, or of sidecars that have not started."""
    sidecars = {container.name for container in containers.sidecars(pod)}
    return [s.name for s in init_statuses if not (s.started if s.name in sidecars else s.ready)]


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
    sidecars = {container.name for container in containers.sidecars(pod)}
    long_running = [*(status for status in init_statuses if status.name in sidecars), *statuses]
    unready = [status.name for status in long_running if not status.ready]
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
    pod: core_v1.Pod, containers_ready: core_v1.PodCondition, others: Sequence[core_v1.PodCondition]
) -> core_v1.PodCondition:
    ready = msgspec.structs.replace(containers_ready, type="Ready")
    gates = [gate.condition_type for gate in pod.spec.readiness_gates or ()]
    missing = [gate for gate in gates if not is_true(others, gate)]
    if ready.status == "True" and missing:
        ready.status, ready.reason = "False", "ReadinessGatesNotReady"
        ready.message = f"corresponding conditions of pod readiness gates are not met: [{' '.join(missing)}]"
    return ready
