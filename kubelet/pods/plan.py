"""What to do next for one pod: the wanted pod against its containers. Pure, a value that can be compared and logged.

A plan is a step, not a program: whoever carries it out plans again when something changed. Nothing is started in a
sandbox that does not run, and a sandbox that was lost takes the whole pod with it. Init containers run one after the
other before the others; a sidecar among them only has to have started. At the end sidecars go last, in reverse order.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from apimachinery.core import containers
from apimachinery.types import core_v1
from kubelet.runtime.records import ContainerRecord, spec_hash

KEEP_DEAD = 2
"""Ended containers kept per container name, the latest included: one for its state, one for ``logs --previous``."""


SANDBOX_CHANGED = "Pod sandbox changed, it will be killed and re-created."


@dataclass(frozen=True)
class Start:
    """A container to create and start. ``after`` is the one that it follows, if there was one."""

    container: core_v1.Container
    attempt: int
    after: ContainerRecord | None = None


@dataclass(frozen=True)
class Wait:
    """A container that may not be started again yet."""

    seconds: float


@dataclass(frozen=True)
class Stop:
    """A running container to stop gracefully, and why, for people."""

    record: ContainerRecord
    message: str


@dataclass(frozen=True)
class Health:
    """What probes and hooks say of running containers, by container ID."""

    not_started: Collection[str] = ()
    """Their startup probe has not succeeded yet, or their postStart hook has not ended."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """To be stopped, and why: a liveness or startup probe, or a postStart hook."""
    over: str = ""
    """Why the whole pod has to end (its deadline, an eviction); empty while it may run."""


@dataclass(frozen=True)
class Plan:
    create_sandbox: int | None = None
    """The new sandbox's attempt."""
    sandbox: ContainerRecord | None = None
    """The running one."""
    start: tuple[Start, ...] = ()
    waiting: Mapping[str, Wait] = field(default_factory=dict)
    stop: tuple[Stop, ...] = ()
    remove: tuple[ContainerRecord, ...] = ()

    @property
    def is_steady(self) -> bool:
        return self.create_sandbox is None and not (self.start or self.stop or self.remove)


BackoffOf = Callable[[ContainerRecord], float]
"""Seconds that the successor of an ended container has still to wait."""


def plan(
    pod: core_v1.Pod,
    records: Sequence[ContainerRecord],
    backoff: BackoffOf,
    restarts: Mapping[str, int],
    health: Health | None = None,
) -> Plan:
    """The next step. ``restarts`` are the restart counts that the API knows, for containers the engine has lost."""
    health = health or Health()
    sandboxes = sorted((one for one in records if one.is_sandbox), key=lambda one: one.attempt)
    sandbox = sandboxes[-1] if sandboxes and sandboxes[-1].running else None
    stale = [one for one in sandboxes if one is not sandbox]
    dead = _surplus(records)
    if health.over or is_finished(pod, latest_records(records)):
        return Plan(stop=wind_up(pod, records, health.over), remove=tuple(dead))
    if sandbox is None:
        orphans = [one for one in records if one.running and not one.is_sandbox]
        if orphans:  # they hold a network that is gone
            return Plan(stop=tuple(Stop(one, SANDBOX_CHANGED) for one in orphans))
        return Plan(create_sandbox=_next_attempt(sandboxes), remove=(*stale, *dead))
    step = _Step(pod, sandbox, latest_records(records), backoff, restarts, health)
    step.plan()
    return Plan(None, sandbox, tuple(step.starts), step.waiting, tuple(step.stops), (*stale, *dead))


class _Step:
    """The containers of a pod whose sandbox runs."""

    def __init__(
        self,
        pod: core_v1.Pod,
        sandbox: ContainerRecord,
        latest: Mapping[str, ContainerRecord],
        backoff: BackoffOf,
        restarts: Mapping[str, int],
        health: Health,
    ) -> None:
        self._pod, self._sandbox, self._latest = pod, sandbox, latest
        self._backoff, self._restarts, self._health = backoff, restarts, health
        self.starts: list[Start] = []
        self.stops: list[Stop] = []
        self.waiting: dict[str, Wait] = {}

    def plan(self) -> None:
        for container in containers.ephemeral_containers(self._pod):
            record = self._latest.get(container.name)
            if record is None and container.name not in self._restarts:
                self.starts.append(Start(container, 0))
            elif record is not None and record.never_started:
                self.starts.append(Start(container, record.attempt))
        if self._initialize():
            for container in self._pod.spec.containers:
                self._keep(container)

    def _initialize(self) -> bool:
        """Plan the init containers; True once the others may run."""
        others = [self._latest.get(one.name) for one in self._pod.spec.containers]
        begun = any(one is not None and self._is_here(one) and not one.never_started for one in others)
        for container in containers.init_containers(self._pod):
            record = self._latest.get(container.name)
            if containers.is_sidecar(container):
                self._keep(container)
                started = record is not None and record.running and record.id not in self._health.not_started
                if not begun and not (started and self._is_here(record)):
                    return False
            elif not begun and not self._has_succeeded(record):
                self._run_once(container, record)
                return False
        return True

    def _has_succeeded(self, record: ContainerRecord | None) -> bool:
        return record is not None and self._is_here(record) and record.ended and exit_code_of(record) == 0

    def _run_once(self, container: core_v1.Container, record: ContainerRecord | None) -> None:
        """An init container on its way to its end. One that ended in an older sandbox runs anew."""
        if record is not None and record.ended and not self._is_here(record):
            self.starts.append(Start(container, record.attempt + 1, record))
        else:
            self._keep(container)

    def _keep(self, container: core_v1.Container) -> None:
        """Have a container running as its restart policy asks."""
        record = self._latest.get(container.name)
        if record is None:
            self.starts.append(Start(container, _first_attempt(container, self._restarts)))
        elif record.running:
            self._check(container, record)
        elif record.never_started:
            self.starts.append(Start(container, record.attempt))
        elif should_restart(self._pod, record):
            changed = record.spec_hash != spec_hash(container) or not self._is_here(record)
            seconds = 0.0 if changed else self._backoff(record)
            if seconds > 0:
                self.waiting[container.name] = Wait(seconds)
            else:
                self.starts.append(Start(container, record.attempt + 1, record))

    def _check(self, container: core_v1.Container, record: ContainerRecord) -> None:
        if not self._is_here(record):
            self.stops.append(Stop(record, SANDBOX_CHANGED))
        elif record.spec_hash != spec_hash(container):
            self.stops.append(Stop(record, f"Container {container.name} definition changed, will be restarted"))
        elif record.id in self._health.failed:
            self.stops.append(Stop(record, self._health.failed[record.id]))

    def _is_here(self, record: ContainerRecord | None) -> bool:
        return record is not None and record.sandbox_id == self._sandbox.id


def wind_up(pod: core_v1.Pod | None, records: Sequence[ContainerRecord], message: str = "") -> tuple[Stop, ...]:
    """What to stop next of a pod that is to end: sidecars after the others, one by one, and the sandbox last."""
    running = [one for one in records if one.running]
    names = [one.name for one in containers.sidecars(pod)] if pod is not None else []
    first = [one for one in running if not one.is_sandbox and one.name not in names]
    if first:
        return tuple(Stop(one, message) for one in first)
    for name in reversed(names):
        if helper := [one for one in running if one.name == name]:
            return tuple(Stop(one, message) for one in helper)
    return tuple(Stop(one, "the pod has finished") for one in running)


def latest_records(records: Iterable[ContainerRecord]) -> dict[str, ContainerRecord]:
    """The last container of each name."""
    latest: dict[str, ContainerRecord] = {}
    for record in sorted(records, key=lambda one: one.attempt):
        if not record.is_sandbox:
            latest[record.name] = record
    return latest


def should_restart(pod: core_v1.Pod, ended: ContainerRecord) -> bool:
    """Whether a container that ended is started again."""
    policy = containers.restart_policy_of(pod, ended.name)
    return policy == "Always" or (policy == "OnFailure" and exit_code_of(ended) != 0)


def is_finished(pod: core_v1.Pod, latest: Mapping[str, ContainerRecord]) -> bool:
    """Every container has run for the last time. Also so when the API has it from before the engine lost them."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return True
    ended = [latest.get(container.name) for container in pod.spec.containers]
    if all(one is not None and one.ended and not should_restart(pod, one) for one in ended):
        return True
    return not any(ended) and has_failed_to_initialize(pod, latest)


def has_failed_to_initialize(pod: core_v1.Pod, latest: Mapping[str, ContainerRecord]) -> bool:
    """An init container failed and is not tried again."""
    once = [latest.get(one.name) for one in containers.init_containers(pod) if not containers.is_sidecar(one)]
    return any(one is not None and one.ended and exit_code_of(one) and not should_restart(pod, one) for one in once)


def exit_code_of(record: ContainerRecord) -> int:
    """The exit code; a container that the engine could not start failed, whatever the engine says."""
    return record.exit_code or (128 if record.error and record.started_at is None else 0)


def _next_attempt(sandboxes: Sequence[ContainerRecord]) -> int:
    """Of a sandbox, the oldest first; one that never ran does not count."""
    if not sandboxes:
        return 0
    last = sandboxes[-1]
    return last.attempt if last.never_started else last.attempt + 1


def _first_attempt(container: core_v1.Container, restarts: Mapping[str, int]) -> int:
    return restarts[container.name] + 1 if container.name in restarts else 0


def _surplus(records: Iterable[ContainerRecord]) -> list[ContainerRecord]:
    """Ended containers beyond those kept, oldest attempts."""
    by_name: dict[str, list[ContainerRecord]] = {}
    for record in records:
        if not record.is_sandbox:
            by_name.setdefault(record.name, []).append(record)
    surplus: list[ContainerRecord] = []
    for same in by_name.values():
        same.sort(key=lambda one: one.attempt, reverse=True)
        surplus += [one for one in same[KEEP_DEAD:] if not one.running]
    return surplus
