"""Pods that wait for a node: ready to be tried (active), waiting after a failure (back-off), waiting for a change.

Promises: the pod with the highest priority comes first, of equal ones the one that has waited longest. A pod for which
no node was feasible waits until a change that may help (``move_all``), but never longer than
``UNSCHEDULABLE_SECONDS``; and a pod that fails often waits 1 s, 2 s, 4 s ... 10 s between attempts. A change during
an attempt counts for that pod too. One consumer calls ``pop``; all calls belong to one event loop; time comes from the
clock that is passed in.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from apimachinery.meta import Key
from scheduler.pod_info import PodInfo

INITIAL_BACKOFF: Final = 1.0
MAX_BACKOFF: Final = 10.0
UNSCHEDULABLE_SECONDS: Final = 300.0


@dataclass(eq=False)
class QueuedPod:
    """A pod and its history in the queue: when it was added, how often it was tried, when it last failed."""

    info: PodInfo
    added_at: float
    attempts: int = 0
    failed_at: float = 0.0
    moves_before: int = 0

    @property
    def key(self) -> Key:
        return self.info.key

    def backoff_until(self) -> float:
        if self.attempts == 0:
            return 0.0
        return float(self.failed_at + min(INITIAL_BACKOFF * 2 ** min(self.attempts - 1, 32), MAX_BACKOFF))


@dataclass(order=True)
class _Entry:
    rank: tuple[float, ...]
    pod: QueuedPod = field(compare=False)


class _Heap:
    """Pods by rank. The entry of a removed pod stays in the heap until it is first."""

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._entries: dict[Key, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> QueuedPod | None:
        entry = self._entries.get(key)
        return entry.pod if entry else None

    def push(self, pod: QueuedPod, *rank: float) -> None:
        entry = self._entries[pod.key] = _Entry(rank, pod)
        heapq.heappush(self._heap, entry)

    def first(self) -> _Entry | None:
        while self._heap and self._entries.get(self._heap[0].pod.key) is not self._heap[0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    def pop(self) -> QueuedPod:
        entry = self.first()
        assert entry is not None
        heapq.heappop(self._heap)
        del self._entries[entry.pod.key]
        return entry.pod

    def remove(self, key: Key) -> QueuedPod | None:
        entry = self._entries.pop(key, None)
        return entry.pod if entry else None


class SchedulingQueue:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._active = _Heap()
        self._backoff = _Heap()
        self._unschedulable: dict[Key, QueuedPod] = {}
        self._sequence = itertools.count()
        self._moves = 0
        self._changed = asyncio.Event()

    def lengths(self) -> dict[str, int]:
        """How many pods wait in each part of the queue."""
        return {
            "active": len(self._active),
            "backoff": len(self._backoff),
            "unschedulable": len(self._unschedulable),
        }

    def add(self, info: PodInfo) -> None:
        """Add a pod, new or changed so that it may fit now; its history is kept."""
        queued = self.delete(info.key)
        pod = queued if queued and queued.info.uid == info.uid else QueuedPod(info, self._clock())
        pod.info = info
        self._ready(pod)

    def refresh(self, info: PodInfo) -> bool:
        """The pod has changed in a way that does not affect scheduling. False if it is not in the queue."""
        pod = self._find(info.key)
        if pod is None or pod.info.uid != info.uid:
            return False
        pod.info = info
        return True

    def delete(self, key: Key) -> QueuedPod | None:
        """Remove a pod that need not be scheduled any more."""
        return self._active.remove(key) or self._backoff.remove(key) or self._unschedulable.pop(key, None)

    def add_unschedulable(self, pod: QueuedPod) -> None:
        """No node was feasible: the pod waits for a change, or only backs off if one came during the attempt."""
        self._failed(pod)
        if pod.moves_before != self._moves:
            self._ready(pod)
        else:
            self._unschedulable[pod.key] = pod
            self._changed.set()  # a waiting ``pop`` must know when to flush it

    def add_backoff(self, pod: QueuedPod) -> None:
        """The attempt failed for a reason that may pass on its own."""
        self._failed(pod)
        self._ready(pod)

    def move_all(self) -> None:
        """The cluster has changed in a way that may make room: each waiting pod is tried again."""
        self._moves += 1
        waiting, self._unschedulable = self._unschedulable, {}
        for pod in waiting.values():
            self._ready(pod)

    async def pop(self) -> QueuedPod:
        """The next pod to schedule. It belongs to the caller until it is added again."""
        while True:
            self._flush()
            if len(self._active):
                pod = self._active.pop()
                pod.attempts += 1
                pod.moves_before = self._moves
                return pod
            self._changed.clear()
            try:
                async with asyncio.timeout(self._until_due()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _failed(self, pod: QueuedPod) -> None:
        pod.failed_at = self._clock()
        self.delete(pod.key)

    def _find(self, key: Key) -> QueuedPod | None:
        return self._active.get(key) or self._backoff.get(key) or self._unschedulable.get(key)

    def _ready(self, pod: QueuedPod) -> None:
        until = pod.backoff_until()
        if until > self._clock():
            self._backoff.push(pod, until, next(self._sequence))
        else:
            self._active.push(pod, -pod.info.priority, pod.added_at, next(self._sequence))
        self._changed.set()

    def _flush(self) -> None:
        """Move pods that are due to the active part."""
        now = self._clock()
        while (entry := self._backoff.first()) is not None and entry.rank[0] <= now:
            self._ready(self._backoff.pop())
        for key, pod in [*self._unschedulable.items()] if self._oldest_is_due(now) else ():
            if pod.failed_at + UNSCHEDULABLE_SECONDS <= now:
                del self._unschedulable[key]
                self._ready(pod)

    def _oldest_is_due(self, now: float) -> bool:
        """A dict keeps the order of insertion, and pods are inserted when they fail: the first is the oldest."""
        oldest = next(iter(self._unschedulable.values()), None)
        return oldest is not None and oldest.failed_at + UNSCHEDULABLE_SECONDS <= now

    def _until_due(self) -> float | None:
        """Seconds until a pod must be moved; None if none waits."""
        moments = []
        if (entry := self._backoff.first()) is not None:
            moments.append(entry.rank[0])
        if (oldest := next(iter(self._unschedulable.values()), None)) is not None:
            moments.append(oldest.failed_at + UNSCHEDULABLE_SECONDS)
        return max(0.0, min(moments) - self._clock()) if moments else None
