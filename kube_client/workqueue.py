"""A queue of keys to work on, each at most once at a time, and the loop that works on them.

A key that is added while queued is queued once; a key added while being worked on is queued again when that
work ends. So ``sync`` never runs twice at once for a key and never misses a change. Delays and back-off belong
to the queue; whether a failed key is retried is decided in ``process`` alone.
"""

import asyncio
import heapq
import itertools
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from apimachinery import errors
from kube_client import metrics

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


class Backoff(Generic[K]):
    """Delay per key, doubled with each failure: 5 ms to 1000 s as in client-go, spread by up to a tenth."""

    def __init__(self, base: float = 0.005, limit: float = 1000.0, jitter: float = 0.1) -> None:
        self._base, self._limit, self._jitter = base, limit, jitter
        self._failures: dict[K, int] = {}

    def next(self, key: K) -> float:
        """Seconds to wait before the key is tried again; counts one failure."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 2**64 already exceeds any limit; the bound keeps the power from growing without end.
        delay: float = min(self._base * 2 ** min(failures, 64), self._limit)
        return delay * (1 + random.uniform(0, self._jitter))

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        self._failures.pop(key, None)


class WorkQueue(Generic[K]):
    """Keys waiting for work. All calls belong to one event loop; ``add`` never blocks."""

    def __init__(self, name: str, *, backoff: Backoff[K] | None = None) -> None:
        self.name = name
        self._backoff = backoff or Backoff()
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()  # waiting for work, or for the end of the work under way
        self._processing: set[K] = set()
        self._delayed: list[tuple[float, int, K]] = []  # heap; entries superseded by an earlier one are skipped
        self._due: dict[K, float] = {}
        self._sequence = itertools.count()
        self._takers: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._metrics = metrics.WorkQueueMetrics(name)
        self._added_at: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """Add the key, unless it is waiting already."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        self._metrics.adds.inc()
        self._added_at.setdefault(key, self._now())
        if key not in self._processing:
            self._enqueue(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Add the key after a delay; of several delays the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._now() + seconds
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        heapq.heappush(self._delayed, (due, next(self._sequence), key))
        self._arm()

    def add_rate_limited(self, key: K) -> None:
        """Add the key again after its own growing delay."""
        self._metrics.retries.inc()
        self.add_after(key, self._backoff.next(key))

    def forget(self, key: K) -> None:
        """The key was worked on with success: its delay starts small again."""
        self._backoff.forget(key)

    def failures(self, key: K) -> int:
        """How often the key was put back with ``add_rate_limited`` since the last success."""
        return self._backoff.failures(key)

    async def get(self) -> K:
        """Take the next key; ``done`` must follow."""
        while not self._ready:
            taker = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            try:
                await taker
            except asyncio.CancelledError:
                if taker.done() and not taker.cancelled():
                    self._wake()  # a key was meant for this taker; another one takes it
                else:
                    self._takers.remove(taker)
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        self._metrics.depth.set(len(self._ready))
        self._metrics.queue_duration.observe(self._now() - self._added_at.pop(key, self._now()))
        return key

    def done(self, key: K) -> None:
        """The work on the key has ended; if it was added meanwhile it is queued again."""
        self._processing.discard(key)
        if key in self._dirty:
            self._enqueue(key)

    @asynccontextmanager
    async def next(self) -> AsyncIterator[K]:
        """The next key, for the length of the block."""
        key = await self.get()
        started = self._now()
        try:
            yield key
        finally:
            self._metrics.work_duration.observe(self._now() - started)
            self.done(key)

    def _enqueue(self, key: K) -> None:
        self._ready.append(key)
        self._metrics.depth.set(len(self._ready))
        self._wake()

    def _wake(self) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return

    def _arm(self) -> None:
        """Have the loop call when the earliest delayed key is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delayed:
            delay = max(0.0, self._delayed[0][0] - self._now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._release)

    def _release(self) -> None:
        now = self._now()
        while self._delayed and self._delayed[0][0] <= now:
            due, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        self._arm()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


async def process(queue: WorkQueue[K], sync: Callable[[K], Awaitable[None]], workers: int = 1) -> None:
    """Call ``sync`` for each key, several keys at once, until cancelled. The one place that decides about retry.

    Keys that are added again and again leave the event loop to others, whatever ``sync`` does. While a key is worked
    on, the task has its name, for whoever asks what holds the loop.
    """

    async def work(task: str) -> None:
        while True:
            async with queue.next() as key:
                asyncio.current_task().set_name(f"{task} {key}")  # type: ignore[union-attr]  # we are in one
                try:
                    await sync(key)
                except errors.ApiError as exc:  # conflict, throttled, server unavailable: expected
                    if errors.is_namespace_terminating(exc):  # trying again would end no differently
                        log.debug("%s: %s: %s", key, queue.name, exc)
                        queue.forget(key)
                    else:
                        log.info("%s: %s: %s; will retry", key, queue.name, exc)
                        queue.add_rate_limited(key)
                except Exception:  # a bug triggered by one object must not stop the others
                    log.exception("%s: %s: sync failed; will retry", key, queue.name)
                    queue.add_rate_limited(key)
                else:
                    queue.forget(key)
            await asyncio.sleep(0)  # neither taking a key nor working on it need have waited for anything

    async with asyncio.TaskGroup() as tasks:
        for n in range(workers):
            tasks.create_task(work(f"{queue.name}-{n}"))
