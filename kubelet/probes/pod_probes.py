"""The probes of one pod's running containers: a task per probe and container, begun and ended with the container.

What they find is kept per container ID, and whoever made them is woken when it changes. A startup probe holds the
others back. A container that a restarted kubelet finds running keeps what the API said of it until it was asked again.
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
from kubelet.probes.checks import Checks, Outcome, Target
from kubelet.probes.counter import Counter
from kubelet.runtime import ContainerRecord

log = logging.getLogger(__name__)

Kind = Literal["Startup", "Readiness", "Liveness"]

Unhealthy = Callable[[core_v1.Pod, str, str], object]
"""Called with the pod, the container's name and a message when a probe fails."""


@dataclass
class _State:
    """What is known of one running container."""

    ready: bool
    started: asyncio.Event = field(default_factory=asyncio.Event)
    failed: str = ""
    tasks: dict[Kind, asyncio.Task[None]] = field(default_factory=dict)


class PodProbes:
    """Belongs to one worker's task; ``tasks`` owns the probes."""

    def __init__(
        self, checks: Checks, tasks: asyncio.TaskGroup, wake: Callable[[], object], unhealthy: Unhealthy
    ) -> None:
        self._checks, self._tasks = checks, tasks
        self._wake, self._unhealthy = wake, unhealthy
        self._states: dict[str, _State] = {}
        self._pod: core_v1.Pod | None = None
        self._address = ""

    @property
    def not_started(self) -> set[str]:
        return {id for id, state in self._states.items() if not state.started.is_set()}

    @property
    def unready(self) -> set[str]:
        return {id for id, state in self._states.items() if not state.ready}

    @property
    def failed(self) -> Mapping[str, str]:
        """Containers to be stopped, and why."""
        return {id: state.failed for id, state in self._states.items() if state.failed}

    def follow(self, pod: core_v1.Pod, running: Mapping[str, ContainerRecord], address: str) -> None:
        """Probe exactly these containers (by name), as ``pod`` asks. Safe to call at any time."""
        self._pod, self._address = pod, address
        present = {record.id for record in running.values()}
        for id in [id for id in self._states if id not in present]:
            self._end(id)
        for name, record in running.items():
            spec = containers.find(pod, name)
            if spec is not None and record.id not in self._states:
                self._begin(pod, spec, record)

    def stop_liveness(self) -> None:
        """The pod is ending: nothing is to be restarted any more; readiness is still worth knowing."""
        for state in self._states.values():
            state.failed = ""
            for kind in ("Startup", "Liveness"):
                if task := state.tasks.pop(kind, None):
                    task.cancel()

    def end(self) -> None:
        for id in [*self._states]:
            self._end(id)

    def _end(self, id: str) -> None:
        for task in self._states.pop(id).tasks.values():
            task.cancel()

    def _begin(self, pod: core_v1.Pod, spec: core_v1.Container, record: ContainerRecord) -> None:
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
            outcome = await self._ask(probe, Target(record, spec, self._address))
            if not outcome.ok and not counter.is_warming_up:
                self._tell(kind, spec.name, outcome)
            if counter.count(outcome.ok) and self._settle(kind, counter.passing, spec.name, state):
                return
            await asyncio.sleep(counter.next_pause())

    async def _ask(self, probe: core_v1.Probe, target: Target) -> Outcome:
        try:
            return await self._checks.probe(probe, target)
        except Exception as exc:  # a question that nobody foresaw must not take the kubelet down
            log.exception("container %s: probe failed", target.record.id[:12])
            return Outcome(False, repr(exc))

    def _settle(self, kind: Kind, passing: bool, name: str, state: _State) -> bool:
        """Take in what a probe has found; whether it is done with this container."""
        before = (state.started.is_set(), state.ready, state.failed)
        match kind:
            case "Readiness":
                state.ready = passing
            case "Startup" if passing:
                state.started.set()
            case _ if not passing:
                state.failed = f"Container {name} failed {kind.lower()} probe, will be restarted"
        if (state.started.is_set(), state.ready, state.failed) != before:
            self._wake()
        return (kind == "Startup" and passing) or bool(state.failed)

    def _tell(self, kind: Kind, name: str, outcome: Outcome) -> None:
        if self._pod is not None:
            self._unhealthy(self._pod, name, f"{kind} probe failed: {outcome.message}")


def _known(pod: core_v1.Pod, name: str, id: str) -> tuple[bool, bool]:
    """Started and ready, as the API has them of this very container."""
    for one in (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())):
        if one.name == name and one.container_id == f"docker://{id}":
            return bool(one.started), bool(one.ready)
    return False, False


def _age(record: ContainerRecord) -> float:
    """Seconds since the container was started."""
    return time.time() - meta.parse_time(record.started_at).timestamp() if record.started_at else 0.0
