"""A pod's status as Kubernetes reports it, made from its containers. Pure.

What was reported before matters too: conditions keep their transition times, and what the engine has forgotten (an
earlier termination, the address of a finished pod) is kept from there. Whether a running container is ready is decided
by ``is_ready`` alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from apimachinery import meta
from apimachinery.types import core_v1
from kubelet.plan import exit_code_of, latest_records, should_restart
from kubelet.runtime import ContainerRecord

OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")


@dataclass(frozen=True)
class Waiting:
    """Why a container does not run yet."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Observed:
    """What the kubelet knows of a pod at one moment."""

    records: Sequence[ContainerRecord]
    host_ips: tuple[str, ...]
    now: str
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """By container name."""
    messages: Mapping[str, str] = field(default_factory=dict)
    """Termination messages by container ID."""


def pod_status(pod: core_v1.Pod, before: core_v1.PodStatus, seen: Observed) -> core_v1.PodStatus:
    """The status now. ``before`` is the status last reported, the API's or a newer one of ours."""
    old = {one.name: one for one in before.container_statuses or ()}
    containers = [_container(pod, spec, old.get(spec.name), seen) for spec in pod.spec.containers]
    phase = _phase(pod, before.phase, containers)
    sandbox = _sandbox(seen.records)
    status = msgspec.structs.replace(
        before,
        phase=phase,
        conditions=_conditions(pod, before, phase, containers, sandbox, seen.now),
        container_statuses=containers,
        host_ip=seen.host_ips[0] if seen.host_ips else None,
        host_ips=[core_v1.HostIP(ip=ip) for ip in seen.host_ips] or None,
        start_time=before.start_time or seen.now,
    )
    if pod.spec.host_network:
        addresses: tuple[str, ...] = seen.host_ips
    else:
        addresses = (sandbox.ip,) if sandbox and sandbox.ip else ()
    if addresses:
        status.pod_ip = addresses[0]
        status.pod_ips = [core_v1.PodIP(ip=ip) for ip in addresses]
    return status


def is_ready(record: ContainerRecord) -> bool:
    """Whether a container takes part in services."""
    return record.running


def _sandbox(records: Sequence[ContainerRecord]) -> ContainerRecord | None:
    return next((one for one in records if one.is_sandbox and one.running), None)


def _container(
    pod: core_v1.Pod, spec: core_v1.Container, old: core_v1.ContainerStatus | None, seen: Observed
) -> core_v1.ContainerStatus:
    latest = latest_records(seen.records).get(spec.name)
    waiting = seen.waiting.get(spec.name)
    if latest is None:
        return _without_record(pod, spec, old, waiting)
    status = core_v1.ContainerStatus(
        name=spec.name,
        image=latest.image,
        image_id=f"docker://{latest.image_id}",
        container_id=f"docker://{latest.id}",
        restart_count=latest.attempt,
        ready=is_ready(latest),
        started=latest.running,
    )
    previous = next((r for r in seen.records if r.name == spec.name and r.attempt == latest.attempt - 1), None)
    if previous is not None and previous.ended:
        status.last_state = core_v1.ContainerState(terminated=_terminated(previous, seen))
    elif old is not None and latest.attempt and old.restart_count == latest.attempt:
        status.last_state = old.last_state
    if latest.running:
        status.state.running = core_v1.ContainerStateRunning(started_at=_time(latest.started_at))
    elif not latest.ended:
        status.state.waiting = _waiting_state(waiting)
    elif waiting is not None and should_restart(pod, latest) and not meta.is_being_deleted(pod):
        status.state.waiting = _waiting_state(waiting)
        status.last_state = core_v1.ContainerState(terminated=_terminated(latest, seen))
    else:
        status.state.terminated = _terminated(latest, seen)
    return status


def _without_record(
    pod: core_v1.Pod,
    spec: core_v1.Container,
    old: core_v1.ContainerStatus | None,
    waiting: Waiting | None,
) -> core_v1.ContainerStatus:
    """A container that the engine has not, or no more: what the API knows of its past is kept."""
    if old is None:
        old = core_v1.ContainerStatus(name=spec.name, image=spec.image or "")
    if old.state.terminated is not None and pod.status.phase in ("Succeeded", "Failed"):
        return old
    ended = old.state.terminated
    if ended is None and old.state.running is not None:
        ended = core_v1.ContainerStateTerminated(
            exit_code=137,
            reason="ContainerStatusUnknown",
            message="The container could not be located when the pod was terminated"
            if meta.is_being_deleted(pod)
            else "The container could not be located",
            started_at=old.state.running.started_at,
            container_id=old.container_id,
        )
    status = msgspec.structs.replace(old, ready=False, started=False)
    if ended is not None and meta.is_being_deleted(pod):
        status.state = core_v1.ContainerState(terminated=ended)
        return status
    if ended is not None:
        status.last_state = core_v1.ContainerState(terminated=ended)
    status.state = core_v1.ContainerState(waiting=_waiting_state(waiting))
    return status


def _waiting_state(waiting: Waiting | None) -> core_v1.ContainerStateWaiting:
    if waiting is None:
        return core_v1.ContainerStateWaiting(reason="ContainerCreating")
    return core_v1.ContainerStateWaiting(reason=waiting.reason, message=waiting.message or None)


def _terminated(record: ContainerRecord, seen: Observed) -> core_v1.ContainerStateTerminated:
    code = exit_code_of(record)
    if record.oom_killed:
        reason = "OOMKilled"
    elif record.error and record.started_at is None:
        reason = "ContainerCannotRun"
    else:
        reason = "Completed" if code == 0 else "Error"
    return core_v1.ContainerStateTerminated(
        exit_code=code,
        reason=reason,
        message=seen.messages.get(record.id) or record.error or None,
        started_at=_time(record.started_at or record.created_at),
        finished_at=_time(record.finished_at or record.created_at),
        container_id=f"docker://{record.id}",
    )


def _time(moment: str | None) -> str | None:
    return meta.format_time(meta.parse_time(moment)) if moment else None


def _phase(pod: core_v1.Pod, before: str | None, containers: Sequence[core_v1.ContainerStatus]) -> str:
    if before in ("Succeeded", "Failed"):
        return before
    ended = [one.state.terminated or one.last_state.terminated for one in containers if not one.state.running]
    running = len(containers) - len(ended)
    codes = [one.exit_code for one in ended if one is not None]
    all_over = not running and all(one.state.terminated for one in containers)
    if meta.is_being_deleted(pod) and all_over:
        return "Failed" if any(codes) else "Succeeded"
    if len(codes) < len(ended):  # one has never run
        return "Pending"
    if running or (pod.spec.restart_policy or "Always") == "Always":
        return "Running"
    if not any(codes):
        return "Succeeded"
    return "Failed" if pod.spec.restart_policy == "Never" else "Running"


def _conditions(
    pod: core_v1.Pod,
    before: core_v1.PodStatus,
    phase: str,
    containers: Sequence[core_v1.ContainerStatus],
    sandbox: ContainerRecord | None,
    now: str,
) -> list[core_v1.PodCondition]:
    old = {one.type: one for one in before.conditions or ()}
    others = [one for one in before.conditions or () if one.type not in OWN_CONDITIONS]
    containers_ready = _containers_ready(phase, containers)
    fresh = [
        core_v1.PodCondition(type="PodReadyToStartContainers", status="True" if sandbox else "False"),
        core_v1.PodCondition(type="Initialized", status="True", reason=_completed(phase)),
        _ready(pod, containers_ready, old),
        containers_ready,
    ]
    for condition in fresh:
        known = old.get(condition.type)
        same = known is not None and known.status == condition.status
        condition.last_transition_time = known.last_transition_time if known and same else now
    return [*fresh, *others]


def _containers_ready(phase: str, containers: Sequence[core_v1.ContainerStatus]) -> core_v1.PodCondition:
    condition = core_v1.PodCondition(type="ContainersReady", status="False")
    unready = [one.name for one in containers if not one.ready]
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


def _completed(phase: str) -> str | None:
    return "PodCompleted" if phase == "Succeeded" else None
