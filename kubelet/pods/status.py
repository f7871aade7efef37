"""A pod's status as Kubernetes reports it, made from its containers. Pure.

What was reported before matters too: conditions keep their transition times, and what the engine has forgotten (an
earlier termination, the address of a finished pod) is kept from there. Whether a running container is ready is decided
by ``is_ready`` alone. Conditions are made in ``conditions``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from apimachinery import meta
from apimachinery.core import containers
from apimachinery.types import core_v1
from kubelet.pods import conditions
from kubelet.pods.plan import exit_code_of, latest_records, should_restart
from kubelet.runtime import ContainerRecord


@dataclass(frozen=True)
class Waiting:
    """Why a container does not run yet."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class End:
    """Why a pod ends although its containers would go on: rejected, evicted, past its deadline."""

    reason: str
    message: str
    is_disruption: bool = False
    """Whether a pod that was well is ended for the node's sake; who made it may want to know."""


def evicted(message: str) -> End:
    """The end of a pod that takes more than the node can spare."""
    return End("Evicted", message, is_disruption=True)


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
    unready: Collection[str] = ()
    """IDs of running containers whose readiness probe has not succeeded."""
    not_started: Collection[str] = ()
    """IDs of running containers whose startup probe has not succeeded, or whose postStart hook has not ended."""
    end: End | None = None


def pod_status(pod: core_v1.Pod, before: core_v1.PodStatus, seen: Observed) -> core_v1.PodStatus:
    """The status now. ``before`` is the status last reported, the API's or a newer one of ours."""
    init_statuses = _statuses(
        pod, containers.init_containers(pod), before.init_container_statuses, seen, "PodInitializing"
    )
    pending = "PodInitializing" if init_statuses else "ContainerCreating"
    statuses = _statuses(pod, pod.spec.containers, before.container_statuses, seen, pending)
    ephemeral = _statuses(
        pod, containers.ephemeral_containers(pod), before.ephemeral_container_statuses, seen, "ContainerCreating"
    )
    phase = _phase(pod, before.phase, init_statuses, statuses, seen)
    sandbox = _sandbox(seen.records)
    status = msgspec.structs.replace(
        before,
        phase=phase,
        conditions=conditions.conditions(
            pod, before, phase, init_statuses, statuses, has_sandbox=sandbox is not None, now=seen.now
        ),
        init_container_statuses=init_statuses or None,
        container_statuses=statuses,
        ephemeral_container_statuses=ephemeral or None,
        host_ip=seen.host_ips[0] if seen.host_ips else None,
        host_ips=[core_v1.HostIP(ip=ip) for ip in seen.host_ips] or None,
        start_time=before.start_time or seen.now,
    )
    if seen.end is not None:
        status.reason, status.message = seen.end.reason, seen.end.message
        if seen.end.is_disruption:
            status.conditions = conditions.disrupted(status.conditions or (), seen.end.message, seen.now)
    if pod.spec.host_network:
        addresses: tuple[str, ...] = seen.host_ips
    else:
        addresses = (sandbox.ip,) if sandbox and sandbox.ip else ()
    if addresses:
        status.pod_ip = addresses[0]
        status.pod_ips = [core_v1.PodIP(ip=ip) for ip in addresses]
    return status


def rejected_status(pod: core_v1.Pod, before: core_v1.PodStatus, end: End, now: str) -> core_v1.PodStatus:
    """Of a pod that this node has never begun with."""
    return msgspec.structs.replace(
        before, phase="Failed", reason=end.reason, message=end.message, start_time=before.start_time or now
    )


def is_ready(pod: core_v1.Pod, record: ContainerRecord, seen: Observed) -> bool:
    """Whether a container takes part in services; of an init container: whether it has done its work."""
    if any(one.name == record.name and not containers.is_sidecar(one) for one in containers.init_containers(pod)):
        return record.ended and exit_code_of(record) == 0
    return record.running and record.id not in seen.unready and record.id not in seen.not_started


def _statuses(
    pod: core_v1.Pod,
    specs: Sequence[core_v1.Container],
    before: Sequence[core_v1.ContainerStatus] | None,
    seen: Observed,
    pending: str,
) -> list[core_v1.ContainerStatus]:
    """``pending`` is the waiting reason of a container that nothing else is known of."""
    old = {one.name: one for one in before or ()}
    return [_container(pod, spec, old.get(spec.name), seen, pending) for spec in specs]


def _sandbox(records: Sequence[ContainerRecord]) -> ContainerRecord | None:
    return next((one for one in records if one.is_sandbox and one.running), None)


def _container(
    pod: core_v1.Pod, spec: core_v1.Container, old: core_v1.ContainerStatus | None, seen: Observed, pending: str
) -> core_v1.ContainerStatus:
    latest = latest_records(seen.records).get(spec.name)
    waiting = seen.waiting.get(spec.name) or Waiting(pending)
    is_held = spec.name in seen.waiting
    if latest is None:
        return _without_record(pod, spec, old, waiting)
    status = core_v1.ContainerStatus(
        name=spec.name,
        image=latest.image,
        image_id=f"docker://{latest.image_id}",
        container_id=f"docker://{latest.id}",
        restart_count=latest.attempt,
        ready=is_ready(pod, latest, seen),
        started=latest.running and latest.id not in seen.not_started,
        allocated_resources=spec.resources.requests or None,
        resources=spec.resources if spec.resources.requests or spec.resources.limits else None,
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
    elif is_held and should_restart(pod, latest) and not meta.is_being_deleted(pod):
        status.state.waiting = _waiting_state(waiting)
        status.last_state = core_v1.ContainerState(terminated=_terminated(latest, seen))
    else:
        status.state.terminated = _terminated(latest, seen)
    return status


def _without_record(
    pod: core_v1.Pod,
    spec: core_v1.Container,
    old: core_v1.ContainerStatus | None,
    waiting: Waiting,
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


def _waiting_state(waiting: Waiting) -> core_v1.ContainerStateWaiting:
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


def _phase(
    pod: core_v1.Pod,
    before: str | None,
    init_statuses: Sequence[core_v1.ContainerStatus],
    statuses: Sequence[core_v1.ContainerStatus],
    seen: Observed,
) -> str:
    if before in ("Succeeded", "Failed"):
        return before
    still_here = any(one.running and not one.is_sandbox for one in seen.records)
    if seen.end is not None and not still_here:
        return "Failed"
    if not conditions.has_initialized(pod, init_statuses, statuses):
        failed = _init_has_failed(pod, init_statuses) and not still_here
        return "Failed" if failed or (meta.is_being_deleted(pod) and not still_here) else "Pending"
    phase = _phase_of_containers(pod, statuses)
    # A sidecar, or an ephemeral container, may outlast the others a little.
    return "Running" if phase in ("Succeeded", "Failed") and still_here else phase


def _init_has_failed(pod: core_v1.Pod, init_statuses: Sequence[core_v1.ContainerStatus]) -> bool:
    return any(
        one.state.terminated is not None
        and one.state.terminated.exit_code != 0
        and containers.restart_policy_of(pod, one.name) == "Never"
        for one in init_statuses
    )


def _phase_of_containers(pod: core_v1.Pod, statuses: Sequence[core_v1.ContainerStatus]) -> str:
    ended = [one.state.terminated or one.last_state.terminated for one in statuses if not one.state.running]
    running = len(statuses) - len(ended)
    codes = [one.exit_code for one in ended if one is not None]
    all_over = not running and all(one.state.terminated for one in statuses)
    if meta.is_being_deleted(pod) and all_over:
        return "Failed" if any(codes) else "Succeeded"
    if len(codes) < len(ended):  # one has never run
        return "Pending"
    if running or (pod.spec.restart_policy or "Always") == "Always":
        return "Running"
    if not any(codes):
        return "Succeeded"
    return "Failed" if pod.spec.restart_policy == "Never" else "Running"
