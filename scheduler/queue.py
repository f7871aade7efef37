"""Pods that wait for a node: ready to be tried (active), waiting after a failure (back-off), waiting for a change.

Promises: the pod with the highest priority comes first, of equal ones the one that has waited longest. A pod that
found no node waits until something happens that may help (``move_all``), but never longer than
``UNSCHEDULABLE_SECONDS``; and a pod that fails often waits 1 s, 2 s, 4 s ... 10 s between tries. A change that comes
while a pod is being tried counts for it too. One consumer calls ``pop``; all calls belong to one event loop; time is
the clock's that is passed in.
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
    """A pod and its history in the queue. ``since`` is when it came, ``tried`` when it last failed."""

    info: PodInfo
    since: float
    attempts: int = 0
    tried: float = 0.0
    moves_seen: int = 0

    @property
    def key(self) -> Key:
        return self.info.key

    def backoff_until(self) -> float:
        if self.attempts == 0:
            return 0.0
        return float(self.tried + min(INITIAL_BACKOFF * 2 ** min(self.attempts - 1, 32), MAX_BACKOFF))


@dataclass(order=True)
class _Entry:
    rank: tuple[float, ...]
    pod: QueuedPod = field(compare=False)


class _Heap:
    """Pods by rank. One that leaves stays in the heap as an empty shell until it comes up."""

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
        """Pods waiting, by the part of the queue."""
        return {
            "active": len(self._active),
            "backoff": len(self._backoff),
            "unschedulable": len(self._unschedulable),
        }

    def add(self, info: PodInfo) -> None:
        """A pod to be scheduled, new or changed so that it may fit now; its history is kept."""
        known = self.delete(info.key)
        pod = known if known and known.info.uid == info.uid else QueuedPod(info, self._clock())
        pod.info = info
        self._ready(pod)

    def refresh(self, info: PodInfo) -> bool:
        """The pod has changed in a way that does not matter to scheduling. False if it does not wait here."""
        pod = self._find(info.key)
        if pod is None or pod.info.uid != info.uid:
            return False
        pod.info = info
        return True

    def delete(self, key: Key) -> QueuedPod | None:
        """The pod need not be scheduled any more."""
        return self._active.remove(key) or self._backoff.remove(key) or self._unschedulable.pop(key, None)

    def add_unschedulable(self, pod: QueuedPod) -> None:
        """The pod found no node: it waits for a change, or only backs off if one came while it was being tried."""
        self._failed(pod)
        if pod.moves_seen != self._moves:
            self._ready(pod)
        else:
            self._unschedulable[pod.key] = pod
            self._changed.set()  # whoever waits in ``pop`` must know when to flush it

    def add_backoff(self, pod: QueuedPod) -> None:
        """The try failed for a reason that may pass by itself."""
        self._failed(pod)
        self._ready(pod)

    def move_all(self) -> None:
        """Something happened in the cluster that may make room: each waiting pod is tried again."""
        self._moves += 1
        waiting, self._unschedulable = self._unschedulable, {}
        for pod in waiting.values():
            self._ready(pod)

    async def pop(self) -> QueuedPod:
        """The next pod to try. It belongs to the caller until it is added again."""
        while True:
            self._flush()
            if len(self._active):
                pod = self._active.pop()
                pod.attempts += 1
                pod.moves_seen = self._moves
                return pod
            self._changed.clear()
            try:
                async with asyncio.timeout(self._until_due()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _failed(self, pod: QueuedPod) -> None:
        pod.tried = self._clock()
        self.delete(pod.key)

    def _find(self, key: Key) -> QueuedPod | None:
        return self._active.get(key) or self._backoff.get(key) or self._unschedulable.get(key)

    def _ready(self, pod: QueuedPod) -> None:
        until = pod.backoff_until()
        if until > self._clock():
            self._backoff.push(pod, until, next(self._sequence))
        else:
            self._active.push(pod, -pod.info.priority, pod.since, next(self._sequence))
        self._changed.set()

    def _flush(self) -> None:
        """Move to active what is due."""
        now = self._clock()
        while (entry := self._backoff.first()) is not None and entry.rank[0] <= now:
            self._ready(self._backoff.pop())
        for key, pod in [*self._unschedulable.items()] if self._oldest_is_due(now) else ():
            if pod.tried + UNSCHEDULABLE_SECONDS <= now:
                del self._unschedulable[key]
                self._ready(pod)

    def _oldest_is_due(self, now: float) -> bool:
        """A dict keeps the order of insertion, and pods are put in when they fail: the first is the oldest."""
        oldest = next(iter(self._unschedulable.values()), None)
        return oldest is not None and oldest.tried + UNSCHEDULABLE_SECONDS <= now

    def _until_due(self) -> float | None:
        """Seconds until something must be moved; None if nothing waits."""
        moments = []
        if (entry := self._backoff.first()) is not None:
            moments.append(entry.rank[0])
        if (oldest := next(iter(self._unschedulable.values()), None)) is not None:
            moments.append(oldest.tried + UNSCHEDULABLE_SECONDS)
        return max(0.0, min(moments) - self._clock()) if moments else None
