"""The probes of one pod's running containers: a task per probe and container, which starts and ends with the container.

Results are kept by container ID, and the pod's worker is woken when one changes. A startup probe holds the others back.
A container that is running when the kubelet restarts keeps the API's last result until its probe answers again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from apimachinery import meta
from apimachinery.core import containers
from apimachinery.types import core_v1
from kubelet.probes import metrics
from kubelet.probes.checks import Checks, Outcome, Target
from kubelet.probes.counter import Counter
from kubelet.runtime import ContainerRecord

log = logging.getLogger(__name__)

Kind = Literal["Startup", "Readiness", "Liveness"]

Report = Callable[[core_v1.Pod, str, str, str], object]
"""Called with the pod, an event's reason and message, and the container's name: a probe has failed, or warns."""


@dataclass(frozen=True)
class Failure:
    """Why a running container has to be stopped."""

    message: str
    grace_period: int | None = None
    """Seconds that it has to end, where the probe that failed says so itself."""


@dataclass
class _State:
    """Of one running container."""

    ready: bool
    started: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Failure | None = None
    tasks: dict[Kind, asyncio.Task[None]] = field(default_factory=dict)


class PodProbes:
    """Belongs to one worker's task; ``tasks`` owns the probes."""

    def __init__(self, checks: Checks, tasks: asyncio.TaskGroup, wake: Callable[[], object], report: Report) -> None:
        self._checks, self._tasks = checks, tasks
        self._wake, self._report_event = wake, report
        self._states: dict[str, _State] = {}
        self._pod: core_v1.Pod | None = None
        self._address = ""
        self._counted: set[tuple[str, ...]] = set()

    @property
    def not_started(self) -> set[str]:
        return {id for id, state in self._states.items() if not state.started.is_set()}

    @property
    def unready(self) -> set[str]:
        return {id for id, state in self._states.items() if not state.ready}

    @property
    def failures(self) -> Mapping[str, Failure]:
        """Containers to be stopped, and why."""
        return {id: state.failure for id, state in self._states.items() if state.failure}

    def follow(self, pod: core_v1.Pod, running: Mapping[str, ContainerRecord], address: str) -> None:
        """Probe exactly these containers (by name), as ``pod`` specifies. Safe to repeat."""
        self._pod, self._address = pod, address
        present = {record.id for record in running.values()}
        for id in [id for id in self._states if id not in present]:
            self._end(id)
        for name, record in running.items():
            spec = containers.find(pod, name)
            if spec is not None and record.id not in self._states:
                self._start(pod, spec, record)

    def stop_liveness(self) -> None:
        """The pod is ending: nothing is restarted any more; readiness still matters."""
        for state in self._states.values():
            state.failure = None
            for kind in ("Startup", "Liveness"):
                if task := state.tasks.pop(kind, None):
                    task.cancel()

    def end(self) -> None:
        for id in [*self._states]:
            self._end(id)
        for labels in self._counted:
            metrics.RESULTS.remove(*labels)
            metrics.DURATION.remove(*labels[:-2])

    def _end(self, id: str) -> None:
        for task in self._states.pop(id).tasks.values():
            task.cancel()

    def _start(self, pod: core_v1.Pod, spec: core_v1.Container, record: ContainerRecord) -> None:
        started, ready = _known(pod, spec.name, record.id)
        state = _State(ready or spec.readiness_probe is None)
        if started or spec.startup_probe is None:
            state.started.set()
        self._states[record.id] = state
        kinds: tuple[tuple[Kind, core_v1.Probe | None], ...] = (
            ("Startup", None if state.started.is_set() else spec.startup_probe),
            ("Readiness", spec.readiness_probe),
            ("Liveness", spec.liveness_probe),
        )
        for kind, probe in kinds:
            if probe is not None:
                work = self._run(kind, probe, spec, record, state)
                state.tasks[kind] = self._tasks.create_task(work, name=f"{kind} {record.id[:12]}")

    async def _run(
        self, kind: Kind, probe: core_v1.Probe, spec: core_v1.Container, record: ContainerRecord, state: _State
    ) -> None:
        passing = kind == "Liveness" or (kind == "Readiness" and state.ready)
        counter = Counter(probe, passing=passing, eager=kind != "Liveness")
        delay = float(probe.initial_delay_seconds or 0) - _age(record)
        await asyncio.sleep(max(0.0, delay))
        if kind != "Startup":
            await state.started.wait()
        while True:
            outcome = await self._check(kind, probe, Target(record, spec, self._address))
            if outcome.is_warning or not (outcome.ok or counter.is_warming_up):
                self._report(kind, spec.name, outcome)
            if counter.count(outcome.ok) and self._apply(kind, probe, counter.passing, spec.name, state):
                return
            await asyncio.sleep(counter.next_pause())

    async def _check(self, kind: Kind, probe: core_v1.Probe, target: Target) -> Outcome:
        record, began = target.record, time.monotonic()
        where = (kind, record.name, record.pod_name, record.pod_namespace)
        try:
            outcome = await self._checks.probe(probe, target)
            result = "successful" if outcome.ok else "failed"
        except Exception as exc:  # a fault in one probe must not take the kubelet down
            log.exception("container %s: probe failed", record.id[:12])
            outcome, result = Outcome(False, repr(exc)), "unknown"
        metrics.RESULTS.inc(*where, record.pod_uid, result)
        metrics.DURATION.observe(time.monotonic() - began, *where)
        self._counted |= {(*where, record.pod_uid, result)}
        return outcome

    def _apply(self, kind: Kind, probe: core_v1.Probe, passing: bool, name: str, state: _State) -> bool:
        """Apply a probe's result; whether it is done with this container."""
        before = (state.started.is_set(), state.ready, state.failure)
        match kind:
            case "Readiness":
                state.ready = passing
            case "Startup" if passing:
                state.started.set()
            case _ if not passing:
                message = f"Container {name} failed {kind.lower()} probe, will be restarted"
                state.failure = Failure(message, probe.termination_grace_period_seconds)
        if (state.started.is_set(), state.ready, state.failure) != before:
            self._wake()
        return (kind == "Startup" and passing) or state.failure is not None

    def _report(self, kind: Kind, name: str, outcome: Outcome) -> None:
        if self._pod is None:
            return
        if outcome.is_warning:
            self._report_event(self._pod, "ProbeWarning", f"{kind} probe warning: {outcome.message}", name)
        else:
            self._report_event(self._pod, "Unhealthy", f"{kind} probe failed: {outcome.message}", name)


def _known(pod: core_v1.Pod, name: str, id: str) -> tuple[bool, bool]:
    """Whether this very container has started and is ready, by the status in the API."""
    for status in (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())):
        if status.name == name and status.container_id == f"docker://{id}":
            return bool(status.started), bool(status.ready)
    return False, False


def _age(record: ContainerRecord) -> float:
    """Seconds since the container was started."""
    return time.time() - meta.parse_time(record.started_at).timestamp() if record.started_at else 0.0
