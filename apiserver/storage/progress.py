"""How far the caches have followed etcd's history, and what waits for more."""

import asyncio
import heapq
from itertools import count

from apimachinery.errors import too_large_resource_version
from apiserver.storage import metrics


class Progress:
    """One revision for all caches: every change of etcd's up to it has been applied to each of them."""

    def __init__(self) -> None:
        self.revision = 0
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap
        self._order = count()

    def advance(self, revision: int) -> None:
        self.revision = revision
        metrics.feed_revision.set(revision)
        waiters = self._waiters
        while waiters and waiters[0][0] <= revision:
            future = heapq.heappop(waiters)[2]
            if not future.done():
                future.set_result(None)

    async def wait(self, revision: int, timeout: float) -> None:
        """Return once ``revision`` is reached.

        Raises:
            TooLargeResourceVersion: not within ``timeout`` seconds.
        """
        if revision <= self.revision:
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (revision, next(self._order), future))
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            raise too_large_resource_version(revision, self.revision) from None
        finally:
            if future.cancelled():  # one that no revision will ever pop must not stay
                self._waiters = [waiter for waiter in self._waiters if waiter[2] is not future]
                heapq.heapify(self._waiters)
