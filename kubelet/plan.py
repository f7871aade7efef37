"""What to do next for one pod: the wanted pod against its containers. Pure, a value that can be compared and logged.

A plan is a step, not a program: whoever carries it out plans again when something changed. Nothing is started in a
sandbox that does not run, and a sandbox that was lost takes the whole pod with it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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


def plan(pod: core_v1.Pod, records: Sequence[ContainerRecord], backoff: BackoffOf, restarts: Mapping[str, int]) -> Plan:
    """The next step. ``restarts`` are the restart counts that the API knows, for containers the engine has lost."""
    sandboxes = sorted((one for one in records if one.is_sandbox), key=lambda one: one.attempt)
    sandbox = sandboxes[-1] if sandboxes and sandboxes[-1].running else None
    stale = [one for one in sandboxes if one is not sandbox]
    latest = latest_records(records)
    dead = _surplus(records)
    if is_finished(pod, latest):
        running = tuple(Stop(one, "the pod has finished") for one in sandboxes if one.running)
        return Plan(stop=running, remove=tuple(dead))
    if sandbox is None:
        orphans = [one for one in records if one.running and not one.is_sandbox]
        if orphans:  # they hold a network that is gone
            return Plan(stop=tuple(Stop(one, SANDBOX_CHANGED) for one in orphans))
        attempt = sandboxes[-1].attempt + 1 if sandboxes else 0
        return Plan(create_sandbox=attempt, remove=(*stale, *dead))
    starts: list[Start] = []
    stops: list[Stop] = []
    waiting: dict[str, Wait] = {}
    for container in pod.spec.containers:
        record = latest.get(container.name)
        if record is None:
            starts.append(Start(container, _first_attempt(container, restarts)))
        elif record.running:
            if record.sandbox_id != sandbox.id:
                stops.append(Stop(record, SANDBOX_CHANGED))
            elif record.spec_hash != spec_hash(container):
                message = f"Container {container.name} definition changed, will be restarted"
                stops.append(Stop(record, message))
        elif record.never_started:
            starts.append(Start(container, record.attempt))
        elif should_restart(pod, record):
            changed = record.spec_hash != spec_hash(container) or record.sandbox_id != sandbox.id
            seconds = 0.0 if changed else backoff(record)
            if seconds > 0:
                waiting[container.name] = Wait(seconds)
            else:
                starts.append(Start(container, record.attempt + 1, record))
    return Plan(None, sandbox, tuple(starts), waiting, tuple(stops), (*stale, *dead))


def latest_records(records: Iterable[ContainerRecord]) -> dict[str, ContainerRecord]:
    """The last container of each name."""
    latest: dict[str, ContainerRecord] = {}
    for record in sorted(records, key=lambda one: one.attempt):
        if not record.is_sandbox:
            latest[record.name] = record
    return latest


def should_restart(pod: core_v1.Pod, ended: ContainerRecord) -> bool:
    """Whether a container that ended is started again."""
    policy = pod.spec.restart_policy or "Always"
    return policy == "Always" or (policy == "OnFailure" and exit_code_of(ended) != 0)


def is_finished(pod: core_v1.Pod, latest: Mapping[str, ContainerRecord]) -> bool:
    """Every container has run for the last time. Also so when the API has it from before the engine lost them."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return True
    ended = [latest.get(container.name) for container in pod.spec.containers]
    return all(one is not None and one.ended and not should_restart(pod, one) for one in ended)


def exit_code_of(record: ContainerRecord) -> int:
    """The exit code; a container that the engine could not start failed, whatever the engine says."""
    return record.exit_code or (128 if record.error and record.started_at is None else 0)


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
