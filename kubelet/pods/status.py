"""A pod's status as Kubernetes reports it, made from its containers. Pure.

What was reported before matters too: conditions keep their transition times, and what the engine no longer knows (an
earlier termination, the address of a finished pod) is kept from there. A pod that lost its sandbox begins anew: what ran
in that one is the past, and init containers run again. Conditions are made in ``conditions``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from apimachinery import meta
from apimachinery.core import containers, pods
from apimachinery.types import core_v1
from kubelet.containers.waiting import CREATING, Waiting
from kubelet.pods import conditions
from kubelet.pods.plan import Health, is_finished, should_restart
from kubelet.runtime import ContainerRecord
from kubelet.runtime.records import latest_records, running_sandbox


@dataclass(frozen=True)
class PodFailure:
    """Why a pod ends as Failed although its containers could run: rejected, evicted, past its deadline."""

    reason: str
    message: str
    is_disruption: bool = False
    """Whether a healthy pod is ended for the node's sake, which its DisruptionTarget condition then says."""
    grace_period: float | None = None
    """Seconds that its containers have to end at most, whatever the pod itself says."""


IMMEDIATE = 1.0
"""Seconds; Kubernetes' ``immediateEvictionGracePeriodSeconds``: the node cannot wait for as long as a pod may ask."""


def evicted(message: str) -> PodFailure:
    """Of a pod that uses more than the node can spare."""
    return PodFailure("Evicted", message, is_disruption=True, grace_period=IMMEDIATE)


@dataclass(frozen=True)
class PodState:
    """What the kubelet knows of a pod at one moment."""

    records: Sequence[ContainerRecord]
    host_ips: tuple[str, ...]
    now: str
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """By container name."""
    messages: Mapping[str, str] = field(default_factory=dict)
    """Termination messages by container ID."""
    health: Health = field(default_factory=Health)
    failure: PodFailure | None = None


@dataclass(frozen=True)
class _Run:
    """The pod as it runs in its present sandbox."""

    goes_on: bool
    """Containers are started still: the pod has not ended, and need not."""
    sandbox: str
    """The ID of the one that runs; empty without."""
    is_initialized: bool
    """One of its own containers has been started in this sandbox."""

    def is_past(self, record: ContainerRecord) -> bool:
        """Whether it ended in a sandbox before this one."""
        return self.goes_on and record.ended and record.sandbox_id != self.sandbox


def _present_run(pod: core_v1.Pod, before: core_v1.PodStatus, state: PodState) -> _Run:
    latest, sandbox = latest_records(state.records), running_sandbox(state.records)
    own = [latest.get(container.name) for container in pod.spec.containers]
    has_ended = before.phase in pods.TERMINAL_PHASES or meta.is_being_deleted(pod) or state.failure is not None
    return _Run(
        goes_on=not has_ended and not is_finished(pod, latest),
        sandbox=sandbox.id if sandbox else "",
        is_initialized=sandbox is not None
        and any(r is not None and r.sandbox_id == sandbox.id and not r.never_started for r in own),
    )


def pod_status(pod: core_v1.Pod, before: core_v1.PodStatus, state: PodState) -> core_v1.PodStatus:
    """The status now. ``before`` is the status last reported, the API's or a newer one of ours."""
    run = _present_run(pod, before, state)
    init_statuses = _statuses(
        pod, containers.init_containers(pod), before.init_container_statuses, state, run, "PodInitializing"
    )
    pending = "PodInitializing" if init_statuses else CREATING
    statuses = _statuses(pod, pod.spec.containers, before.container_statuses, state, run, pending)
    ephemeral = _statuses(
        pod, containers.ephemeral_containers(pod), before.ephemeral_container_statuses, state, run, CREATING
    )
    phase = _phase(pod, before.phase, init_statuses, statuses, state)
    sandbox = running_sandbox(state.records)
    status = msgspec.structs.replace(
        before,
        phase=phase,
        conditions=conditions.conditions(
            pod, before, phase, init_statuses, statuses, has_sandbox=sandbox is not None, now=state.now
        ),
        init_container_statuses=_with_final_ends(pod, before.init_container_statuses, init_statuses) or None,
        container_statuses=statuses,
        ephemeral_container_statuses=ephemeral or None,
        host_ip=state.host_ips[0] if state.host_ips else None,
        host_ips=[core_v1.HostIP(ip=ip) for ip in state.host_ips] or None,
        start_time=before.start_time or state.now,
    )
    if failure := state.failure:
        if phase == "Failed":  # not before: whoever sees the reason may rely on the phase
            status.reason, status.message = failure.reason, failure.message
        if failure.is_disruption:
            status.conditions = conditions.with_disruption_target(status.conditions or (), failure.message, state.now)
    if pod.spec.host_network:
        addresses: tuple[str, ...] = state.host_ips
    else:
        addresses = (sandbox.ip,) if sandbox and sandbox.ip else ()
    if addresses:
        status.pod_ip = addresses[0]
        status.pod_ips = [core_v1.PodIP(ip=ip) for ip in addresses]
    return status


def rejected_status(before: core_v1.PodStatus, failure: PodFailure, now: str) -> core_v1.PodStatus:
    """Of a pod that this node has never started."""
    return msgspec.structs.replace(
        before, phase="Failed", reason=failure.reason, message=failure.message, start_time=before.start_time or now
    )


def is_ready(pod: core_v1.Pod, record: ContainerRecord, state: PodState) -> bool:
    """Whether a container counts as ready for services; an init container that is no sidecar, once it has succeeded."""
    init = containers.init_containers(pod)
    if any(container.name == record.name and not containers.is_sidecar(container) for container in init):
        return record.ended and record.exit_code == 0
    return record.running and record.id not in state.health.unready and record.id not in state.health.not_started


def _statuses(
    pod: core_v1.Pod,
    specs: Sequence[core_v1.Container],
    before: Sequence[core_v1.ContainerStatus] | None,
    state: PodState,
    run: _Run,
    pending: str,
) -> list[core_v1.ContainerStatus]:
    """``pending`` is the waiting reason of a container of which nothing else is known."""
    old = {status.name: status for status in before or ()}
    return [_container(pod, spec, old.get(spec.name), state, run, pending) for spec in specs]


def _container(
    pod: core_v1.Pod,
    spec: core_v1.Container,
    old: core_v1.ContainerStatus | None,
    state: PodState,
    run: _Run,
    pending: str,
) -> core_v1.ContainerStatus:
    latest = latest_records(state.records).get(spec.name)
    waiting = state.waiting.get(spec.name, Waiting(pending))
    if latest is None:
        return _without_record(pod, spec, old, run, waiting)
    begins_anew = run.is_past(latest) and (should_restart(pod, latest) or _initializes_again(pod, spec, run))
    status = core_v1.ContainerStatus(
        name=spec.name,
        image=latest.image,
        image_id=f"docker://{latest.image_id}",
        container_id=f"docker://{latest.id}",
        restart_count=latest.attempt,
        ready=is_ready(pod, latest, state) and not begins_anew,
        started=latest.running and latest.id not in state.health.not_started,
        allocated_resources=spec.resources.requests or None,
        resources=spec.resources if spec.resources.requests or spec.resources.limits else None,
    )
    previous = next((r for r in state.records if r.name == spec.name and r.attempt == latest.attempt - 1), None)
    if previous is not None and previous.ended:
        status.last_state = core_v1.ContainerState(terminated=_terminated(previous, state))
    elif old is not None and latest.attempt:
        status.last_state = _end_before(old, latest.attempt)
    if latest.running and latest.id in state.health.starting:
        status.state.waiting = _waiting_state(Waiting(CREATING))  # as long as its postStart hook runs
    elif latest.running:
        status.state.running = core_v1.ContainerStateRunning(started_at=_time(latest.started_at))
    elif not latest.ended:
        status.state.waiting = _waiting_state(waiting)
    elif begins_anew or (spec.name in state.waiting and should_restart(pod, latest) and not meta.is_being_deleted(pod)):
        status.state.waiting = _waiting_state(waiting)
        status.last_state = core_v1.ContainerState(terminated=_terminated(latest, state))
    else:
        status.state.terminated = _terminated(latest, state)
    return status


def _with_final_ends(
    pod: core_v1.Pod, before: Sequence[core_v1.ContainerStatus] | None, statuses: Sequence[core_v1.ContainerStatus]
) -> list[core_v1.ContainerStatus]:
    """Statuses of init containers, as the API takes them when they run once more in a new sandbox.

    Unless the pod's containers are always started again, it holds on to an end that was the last by the restart policy.
    """
    if pod.spec.restart_policy in (None, "Always"):
        return [*statuses]
    ends = {status.name: status.state for status in before or () if status.state.terminated is not None}
    return [
        msgspec.structs.replace(status, state=end)
        if status.state.terminated is None
        and (end := ends.get(status.name)) is not None
        and end.terminated is not None
        and not containers.restarts_after(pod, status.name, end.terminated.exit_code)
        else status
        for status in statuses
    ]


def _end_before(old: core_v1.ContainerStatus, attempt: int) -> core_v1.ContainerState:
    """How the attempt before this one ended, by an earlier status; the engine has lost that container."""
    if old.restart_count == attempt - 1 and old.state.terminated is not None:
        return core_v1.ContainerState(terminated=old.state.terminated)
    is_known = old.restart_count == attempt or (old.restart_count == attempt - 1 and old.state.waiting is not None)
    return old.last_state if is_known else core_v1.ContainerState()


def _initializes_again(pod: core_v1.Pod, spec: core_v1.Container, run: _Run) -> bool:
    """Whether it is an init container that has to run in the present sandbox, however it ended before."""
    is_init = any(container.name == spec.name for container in containers.init_containers(pod))
    return is_init and run.goes_on and not run.is_initialized


def _without_record(
    pod: core_v1.Pod,
    spec: core_v1.Container,
    old: core_v1.ContainerStatus | None,
    run: _Run,
    waiting: Waiting,
) -> core_v1.ContainerStatus:
    """A container that the engine does not have (any more): what the API knows of its past is kept."""
    if old is None:
        old = core_v1.ContainerStatus(name=spec.name, image=spec.image or "")
    if old.state.terminated is not None and not _starts_again(pod, spec, old.state.terminated, run):
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
    if ended is not None and not _starts_again(pod, spec, ended, run):
        status.state = core_v1.ContainerState(terminated=ended)
        return status
    if ended is not None:
        status.last_state = core_v1.ContainerState(terminated=ended)
    status.state = core_v1.ContainerState(waiting=_waiting_state(waiting))
    return status


def _starts_again(
    pod: core_v1.Pod, spec: core_v1.Container, ended: core_v1.ContainerStateTerminated, run: _Run
) -> bool:
    """Whether a container that has ended, and that the engine has lost, is started once more."""
    if not run.goes_on:
        return False
    return containers.restarts_after(pod, spec.name, ended.exit_code) or _initializes_again(pod, spec, run)


def _waiting_state(waiting: Waiting) -> core_v1.ContainerStateWaiting:
    return core_v1.ContainerStateWaiting(reason=waiting.reason, message=waiting.message or None)


def _terminated(record: ContainerRecord, state: PodState) -> core_v1.ContainerStateTerminated:
    if record.oom_killed:
        reason = "OOMKilled"
    elif record.error and record.started_at is None:
        reason = "ContainerCannotRun"
    else:
        reason = "Completed" if record.exit_code == 0 else "Error"
    return core_v1.ContainerStateTerminated(
        exit_code=record.exit_code,
        reason=reason,
        message=state.messages.get(record.id) or record.error or None,
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
    state: PodState,
) -> str:
    if before in pods.TERMINAL_PHASES:
        return before
    still_running = any(record.running and not record.is_sandbox for record in state.records)
    if state.failure is not None and not still_running:
        return "Failed"
    if not conditions.has_initialized(pod, init_statuses, statuses):
        failed = _init_has_failed(pod, init_statuses) and not still_running
        return "Failed" if failed or (meta.is_being_deleted(pod) and not still_running) else "Pending"
    phase = _phase_of_containers(pod, statuses)
    # A sidecar, or an ephemeral container, may outlast the others a little.
    return "Running" if phase in pods.TERMINAL_PHASES and still_running else phase


def _init_has_failed(pod: core_v1.Pod, init_statuses: Sequence[core_v1.ContainerStatus]) -> bool:
    return any(
        status.state.terminated is not None
        and status.state.terminated.exit_code != 0
        and containers.restart_policy_of(pod, status.name) == "Never"
        for status in init_statuses
    )


def _phase_of_containers(pod: core_v1.Pod, statuses: Sequence[core_v1.ContainerStatus]) -> str:
    ended = [s.state.terminated or s.last_state.terminated for s in statuses if not s.state.running]
    running = len(statuses) - len(ended)
    codes = [terminated.exit_code for terminated in ended if terminated is not None]
    all_ended = not running and all(status.state.terminated for status in statuses)
    if meta.is_being_deleted(pod) and all_ended:
        return "Failed" if any(codes) else "Succeeded"
    if len(codes) < len(ended):  # a container has never run
        return "Pending"
    if running or (pod.spec.restart_policy or "Always") == "Always":
        return "Running"
    if not any(codes):
        return "Succeeded"
    return "Failed" if pod.spec.restart_policy == "Never" else "Running"
