"""What to do next for one pod: the pod as it should be against its containers. Pure; a value to compare and to log.

A plan is one pass, not a program: once something has changed the worker plans again. A sandbox that was lost takes the
whole pod with it. Init containers run one after the other before the others; a sidecar among them only has to have
started. At the end sidecars stop last, in reverse order. Rules of ``computePodActions`` in Kubernetes' kuberuntime.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from apimachinery.core import containers, pods
from apimachinery.types import core_v1
from kubelet.probes import Failure
from kubelet.runtime.records import ContainerRecord, latest_records, running_sandbox, spec_hash

KEEP_DEAD = 2
"""Ended containers kept per container name, the latest included: one for its state, one for ``logs --previous``."""

SANDBOX_CHANGED = "Pod sandbox changed, it will be killed and re-created."


@dataclass(frozen=True)
class Start:
    """A container to create and start."""

    container: core_v1.Container
    attempt: int
    after: ContainerRecord | None = None
    """The container that it replaces, if there was one."""


@dataclass(frozen=True)
class Stop:
    """A running container to stop gracefully."""

    record: ContainerRecord
    message: str = ""
    """Of its Killing event, if it is stopped for its own sake and not with its pod."""
    grace_period: int | None = None
    """Seconds, where the reason for the stop sets them; otherwise the pod's own apply."""


@dataclass(frozen=True)
class Health:
    """What probes and hooks say of running containers, by container ID."""

    not_started: Collection[str] = ()
    """Their startup probe has not succeeded yet, or their postStart hook has not ended."""
    starting: Collection[str] = ()
    """Of those, the ones whose postStart hook has not ended: the next container waits for it."""
    unready: Collection[str] = ()
    """Their readiness probe has not succeeded."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """To be stopped: a liveness or startup probe, or a postStart hook, failed."""


@dataclass(frozen=True)
class Plan:
    create_sandbox: int | None = None
    """The attempt of the sandbox to create, if one is needed."""
    sandbox: ContainerRecord | None = None
    """The running one."""
    start: tuple[Start, ...] = ()
    """In Kubernetes' order: ephemeral containers, init containers, then the pod's own."""
    back_off: Mapping[str, float] = field(default_factory=dict)
    """Seconds until each container that has to wait may start again, by name."""
    stop: tuple[Stop, ...] = ()
    remove: tuple[ContainerRecord, ...] = ()
    is_last: bool = False
    """Nothing of the pod is started any more."""

    @property
    def is_steady(self) -> bool:
        return self.create_sandbox is None and not (self.start or self.stop or self.remove)


BackOffOf = Callable[[ContainerRecord], float]
"""Seconds until the successor of an ended container may start."""


def plan(
    pod: core_v1.Pod,
    records: Sequence[ContainerRecord],
    back_off_of: BackOffOf,
    restart_counts: Mapping[str, int],
    health: Health | None = None,
    must_end: bool = False,
    exit_codes: Mapping[str, int] | None = None,
) -> Plan:
    """The next pass. The pod's status is that which follows from the records.

    Args:
        restart_counts: as the status has them, for containers that the engine has lost.
        exit_codes: of containers that have ended, as the status has them, the same.
        must_end: whether the whole pod has to end (its deadline, an eviction).
    """
    sandboxes = sorted((record for record in records if record.is_sandbox), key=lambda record: record.attempt)
    sandbox = running_sandbox(sandboxes[-1:])
    surplus = _surplus(records)
    if must_end or is_finished(pod, latest_records(records)):
        return Plan(stop=next_to_stop(pod, records), remove=tuple(surplus), is_last=True)
    orphans = [record for record in records if record.running and not record.is_sandbox]
    if sandbox is None and orphans:  # their network is gone with the sandbox
        return Plan(stop=tuple(Stop(record) for record in orphans))
    stale = [record for record in sandboxes if record is not sandbox]
    lost = Lost(restart_counts, exit_codes or {})
    actions = _ContainerActions(pod, sandbox, latest_records(records), back_off_of, lost, health or Health())
    actions.compute()
    return Plan(
        create_sandbox=_next_attempt(sandboxes) if sandbox is None else None,
        sandbox=sandbox,
        start=tuple(actions.starts),
        back_off=actions.back_off,
        stop=tuple(actions.stops),
        remove=(*stale, *surplus),
    )


@dataclass(frozen=True)
class Lost:
    """What the status says of containers, by name, some of which the engine may have lost."""

    restart_counts: Mapping[str, int]
    exit_codes: Mapping[str, int]


class _ContainerActions:
    """Of a pod whose sandbox runs, or is about to be created (None)."""

    def __init__(
        self,
        pod: core_v1.Pod,
        sandbox: ContainerRecord | None,
        latest: Mapping[str, ContainerRecord],
        back_off_of: BackOffOf,
        lost: Lost,
        health: Health,
    ) -> None:
        self._pod, self._sandbox, self._latest = pod, sandbox, latest
        self._back_off_of, self._lost, self._health = back_off_of, lost, health
        self.starts: list[Start] = []
        self.stops: list[Stop] = []
        self.back_off: dict[str, float] = {}

    def compute(self) -> None:
        for container in containers.ephemeral_containers(self._pod):
            record = self._latest.get(container.name)
            if record is None and container.name not in self._lost.restart_counts:
                self.starts.append(Start(container, 0))
            elif record is not None and record.never_started:
                self.starts.append(Start(container, record.attempt))
        if self._initialize():
            self._keep_all_running(self._pod.spec.containers)

    def _initialize(self) -> bool:
        """Plan the init containers; True once the others may run."""
        own = [self._latest.get(container.name) for container in self._pod.spec.containers]
        started_before = any(
            record is not None and self._is_here(record) and not record.never_started for record in own
        )
        for container in containers.init_containers(self._pod):
            record = self._latest.get(container.name)
            if containers.is_sidecar(container):
                self._keep_running(container)
                started = record is not None and record.running and record.id not in self._health.not_started
                if not started_before and not (started and self._is_here(record)):
                    return False
            elif not started_before and not self._has_succeeded(record):
                self._run_to_completion(container, record)
                return False
        return True

    def _keep_all_running(self, members: Sequence[core_v1.Container]) -> None:
        """Plan the pod's own containers; none is started while the postStart hook of one before it runs."""
        is_held = False
        for container in members:
            record = self._latest.get(container.name)
            if not is_held or (record is not None and record.running):
                self._keep_running(container)
            is_held = is_held or (record is not None and record.id in self._health.starting)

    def _has_succeeded(self, record: ContainerRecord | None) -> bool:
        return record is not None and self._is_here(record) and record.ended and record.exit_code == 0

    def _run_to_completion(self, container: core_v1.Container, record: ContainerRecord | None) -> None:
        """Plan an init container that is no sidecar. One that ended in an older sandbox runs again."""
        if record is not None and record.ended and not self._is_here(record):
            self.starts.append(Start(container, record.attempt + 1, record))
        else:
            self._keep_running(container)

    def _keep_running(self, container: core_v1.Container) -> None:
        """Plan a container by its restart policy."""
        record = self._latest.get(container.name)
        if record is None:
            code = self._lost.exit_codes.get(container.name)
            if code is not None and not containers.restarts_after(self._pod, container.name, code):
                return
            restarts = self._lost.restart_counts.get(container.name)
            self.starts.append(Start(container, 0 if restarts is None else restarts + 1))
        elif record.running:
            self._stop_unless_right(container, record)
        elif record.never_started:
            self.starts.append(Start(container, record.attempt))
        elif should_restart(self._pod, record):
            changed = record.spec_hash != spec_hash(container) or not self._is_here(record)
            seconds = 0.0 if changed else self._back_off_of(record)
            if seconds > 0:
                self.back_off[container.name] = seconds
            else:
                self.starts.append(Start(container, record.attempt + 1, record))

    def _stop_unless_right(self, container: core_v1.Container, record: ContainerRecord) -> None:
        if not self._is_here(record):
            self.stops.append(Stop(record))
        elif record.spec_hash != spec_hash(container):
            self.stops.append(Stop(record, f"Container {container.name} definition changed, will be restarted"))
        elif failure := self._health.failures.get(record.id):
            self.stops.append(Stop(record, failure.message, failure.grace_period))

    def _is_here(self, record: ContainerRecord | None) -> bool:
        return record is not None and self._sandbox is not None and record.sandbox_id == self._sandbox.id


def next_to_stop(pod: core_v1.Pod | None, records: Sequence[ContainerRecord]) -> tuple[Stop, ...]:
    """What to stop next of a pod that has to end: sidecars after the others, one by one, and the sandbox last."""
    running = [record for record in records if record.running]
    sidecars = [container.name for container in containers.sidecars(pod)] if pod is not None else []
    first = [record for record in running if not record.is_sandbox and record.name not in sidecars]
    if first:
        return tuple(Stop(record) for record in first)
    for name in reversed(sidecars):
        if same := [record for record in running if record.name == name]:
            return tuple(Stop(record) for record in same)
    return tuple(Stop(record) for record in running)


def should_restart(pod: core_v1.Pod, ended: ContainerRecord) -> bool:
    """Whether a container that ended is started again."""
    return containers.restarts_after(pod, ended.name, ended.exit_code)


def is_finished(pod: core_v1.Pod, latest: Mapping[str, ContainerRecord]) -> bool:
    """Every container has run for the last time, now or, by the API's status, before the engine lost them."""
    if pods.is_terminal(pod):
        return True
    ended = [latest.get(container.name) for container in pod.spec.containers]
    if all(record is not None and record.ended and not should_restart(pod, record) for record in ended):
        return True
    return not any(ended) and _has_failed_to_initialize(pod, latest)


def _has_failed_to_initialize(pod: core_v1.Pod, latest: Mapping[str, ContainerRecord]) -> bool:
    """An init container failed and is not tried again."""
    init = [container for container in containers.init_containers(pod) if not containers.is_sidecar(container)]
    records = [latest.get(container.name) for container in init]
    return any(r is not None and r.ended and r.exit_code != 0 and not should_restart(pod, r) for r in records)


def _next_attempt(sandboxes: Sequence[ContainerRecord]) -> int:
    """Of a sandbox, given the earlier ones, the oldest first; one that never ran does not count."""
    if not sandboxes:
        return 0
    last = sandboxes[-1]
    return last.attempt if last.never_started else last.attempt + 1


def _surplus(records: Iterable[ContainerRecord]) -> list[ContainerRecord]:
    """Ended containers beyond those that are kept, the oldest attempts."""
    by_name: dict[str, list[ContainerRecord]] = {}
    for record in records:
        if not record.is_sandbox:
            by_name.setdefault(record.name, []).append(record)
    surplus: list[ContainerRecord] = []
    for attempts in by_name.values():
        attempts.sort(key=lambda record: record.attempt, reverse=True)
        surplus += [record for record in attempts[KEEP_DEAD:] if not record.running]
    return surplus
