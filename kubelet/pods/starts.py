"""What keeps the containers of one pod from running: back-off after they ended, holds after they could not be started.

Knows for each why it waits, in Kubernetes' words, and when it may be tried again. Back-off counts from when a container
ended, so a restarted kubelet that does not know earlier ends begins it anew.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from apimachinery import meta
from apimachinery.core import containers
from apimachinery.types import core_v1
from kube_client import EventRecorder
from kubelet.containers.starter import NotStarted
from kubelet.pods.backoff import Backoff
from kubelet.pods.plan import Plan, Start
from kubelet.pods.status import Waiting
from kubelet.runtime import ContainerRecord

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 300.0
"""Seconds between restarts of a container that keeps ending, as Kubernetes has them."""


class PodStarts:
    """Belongs to one worker's task."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, time.time)
        self._waiting: dict[str, Waiting] = {}
        self._hold: dict[str, float] = {}

    @property
    def waiting(self) -> Mapping[str, Waiting]:
        """Why containers wait, by name."""
        return self._waiting

    def restart_in(self, ended: ContainerRecord) -> float:
        """Seconds until the successor of a container may start."""
        return self._backoff.wait(ended.name, _ended_at(ended))

    def note_back_off(self, pod: core_v1.Pod, step: Plan) -> None:
        """Those that the plan lets wait are in back-off; people are told when it begins."""
        for name in step.waiting:
            if name not in self._waiting or self._waiting[name].reason != "CrashLoopBackOff":
                message = f"Back-off restarting failed container {name} in pod {_full_name(pod)}"
                self._recorder.event(pod, "Warning", "BackOff", message, field_path=containers.field_path(pod, name))
            pause = _duration(self._backoff.pause(name))
            back_off = f"back-off {pause} restarting failed container={name} pod={_full_name(pod)}"
            self._waiting[name] = Waiting("CrashLoopBackOff", back_off)

    def note_running(self, names: Collection[str]) -> None:
        """These wait no more."""
        self._waiting = {name: waiting for name, waiting in self._waiting.items() if name not in names}

    async def start_all(self, starts: Sequence[Start], start: Callable[[Start], Awaitable[None]]) -> None:
        """``start`` those that are due, at once. It raises ``NotStarted`` for one that has to wait."""
        now = time.monotonic()
        due = [one for one in starts if self._hold.get(one.container.name, now) <= now]
        await asyncio.gather(*(self._start(one, start) for one in due))

    async def _start(self, one: Start, start: Callable[[Start], Awaitable[None]]) -> None:
        name = one.container.name
        self._hold.pop(name, None)
        if one.after is not None:
            self._backoff.count(name, _ended_at(one.after))
        try:
            await start(one)
        except NotStarted as exc:
            self._waiting[name] = exc.waiting
            if exc.retry_in is not None:
                self._hold[name] = time.monotonic() + exc.retry_in
        else:
            self._waiting.pop(name, None)

    def next_looks(self) -> list[float]:
        """Seconds until each of those that are held may be tried again."""
        now = time.monotonic()
        return [max(0.01, until - now) for name, until in self._hold.items() if name in self._waiting]


def _ended_at(record: ContainerRecord) -> float:
    """Seconds since the epoch."""
    return meta.parse_time(record.finished_at or record.created_at).timestamp()


def _full_name(pod: core_v1.Pod) -> str:
    return f"{meta.name_of(pod)}_{meta.namespace_of(pod)}({meta.uid_of(pod)})"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
