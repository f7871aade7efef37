"""Starts the containers of one pod, and knows for those that wait why, and when they may be tried again.

A container waits for its back-off after it has ended, or because it could not be started. Back-off counts from when the
container ended, so a restarted kubelet, which does not know of earlier ends, begins it anew.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence

from apimachinery import meta
from apimachinery.types import core_v1
from kubelet.containers.events import PodEvents
from kubelet.containers.run_options import Placement
from kubelet.containers.starter import ContainerStarter
from kubelet.containers.waiting import CREATING, Waiting
from kubelet.pods.backoff import Backoff
from kubelet.pods.health import HealthMonitor
from kubelet.pods.plan import Plan, Start
from kubelet.runtime import ContainerRecord
from kubelet.runtime.records import latest_records

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 300.0
"""Seconds between restarts of a container that keeps ending, as in Kubernetes."""


class ContainerStarts:
    """Belongs to one worker's task."""

    def __init__(self, starter: ContainerStarter, events: PodEvents, health: HealthMonitor) -> None:
        self._starter, self._events, self._health = starter, events, health
        self._back_off = Backoff(FIRST_PAUSE, LONGEST_PAUSE, time.time)
        self._waiting: dict[str, Waiting] = {}
        self._retry_at: dict[str, float] = {}

    def waiting(self, records: Sequence[ContainerRecord]) -> Mapping[str, Waiting]:
        """Why containers wait, by name; those that run by now do not."""
        for name, record in latest_records(records).items():
            if record.running:
                self._waiting.pop(name, None)
        return self._waiting

    def back_off_of(self, ended: ContainerRecord) -> float:
        """Seconds until the successor of a container may start."""
        return self._back_off.wait(ended.name, _ended_at(ended))

    def note_back_off(self, pod: core_v1.Pod, plan: Plan) -> None:
        """Have those that the plan puts off wait in CrashLoopBackOff; an event is recorded when that begins."""
        for name in plan.back_off:
            known = self._waiting.get(name)
            if known is None or known.reason != "CrashLoopBackOff":
                message = f"Back-off restarting failed container {name} in pod {_full_name(pod)}"
                self._events.warning(pod, "BackOff", message, name)
            pause = _duration(self._back_off.pause(name))
            message = f"back-off {pause} restarting failed container={name} pod={_full_name(pod)}"
            self._waiting[name] = Waiting("CrashLoopBackOff", message)

    async def start(self, pod: core_v1.Pod, starts: Sequence[Start], placement: Placement) -> None:
        """Start those that are due, side by side; after one with a postStart hook only once that has ended.

        Raises ``errors.Unavailable`` while the engine is.
        """
        now = time.monotonic()
        due = [start for start in starts if self._retry_at.get(start.container.name, now) <= now]
        for batch in _batches(due):
            await asyncio.gather(*(self._start(pod, start, placement) for start in batch))
            if _has_hook(batch[-1]) and self._may_still_start(batch[-1].container.name):
                return  # the hook's end wakes the worker, or that of the pull

    def _may_still_start(self, name: str) -> bool:
        """Whether it has started, or waits for nothing but its image."""
        waiting = self._waiting.get(name)
        return waiting is None or (waiting.reason == CREATING and waiting.retry_in is None)

    async def _start(self, pod: core_v1.Pod, start: Start, placement: Placement) -> None:
        spec = start.container
        self._retry_at.pop(spec.name, None)
        if start.after is not None:
            self._back_off.count(spec.name, _ended_at(start.after))
        result = await self._starter.start(pod, spec, start.attempt, placement)
        if isinstance(result, Waiting):
            self._waiting[spec.name] = result
            if result.retry_in is not None:
                self._retry_at[spec.name] = time.monotonic() + result.retry_in
        else:
            self._waiting.pop(spec.name, None)
            self._health.post_start(pod, spec, result, placement.sandbox)

    def seconds_to_retries(self) -> list[float]:
        """Until each container that could not be started may be tried again."""
        now = time.monotonic()
        return [max(0.01, retry_at - now) for name, retry_at in self._retry_at.items() if name in self._waiting]


def _has_hook(start: Start) -> bool:
    return start.container.lifecycle is not None and start.container.lifecycle.post_start is not None


def _batches(starts: Sequence[Start]) -> Iterator[list[Start]]:
    """Each ends with a container that has a postStart hook, or with the last one."""
    batch: list[Start] = []
    for start in starts:
        batch.append(start)
        if _has_hook(start):
            yield batch
            batch = []
    if batch:
        yield batch


def _ended_at(record: ContainerRecord) -> float:
    """Seconds since the epoch."""
    return meta.parse_time(record.finished_at or record.created_at).timestamp()


def _full_name(pod: core_v1.Pod) -> str:
    return f"{meta.name_of(pod)}_{meta.namespace_of(pod)}({meta.uid_of(pod)})"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
