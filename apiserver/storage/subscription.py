"""One watcher's view of a cache: the events it has not taken yet.

The cache appends references to shared events; there is no task and no copy per watcher. A watcher that does
not take its events is ended when ``limit`` of them wait, or more than ``MOST_BYTES``, without any effect on others.

A watcher that has taken everything may have its events handed to it the moment they happen (``hand_to``), which
spares the wake-up of a task for each of them.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, Self

from apimachinery.errors import ApiError
from apiserver.storage.errors import Lagged
from apiserver.storage.objects import Event, T

MOST_BYTES: Final = 32 << 20
"""Of objects in events that wait: as many as a ring keeps. Beyond that they would live only for this watcher."""


class Subscription(Generic[T]):
    """Made by ``Cache.watch``; to be closed by its user (it is a context manager)."""

    def __init__(
        self,
        prefix: str,
        backlog: Sequence[Event[T]],
        limit: int,
        reached: Callable[[], int],
        on_close: Callable[["Subscription[T]"], None],
    ) -> None:
        self.prefix = prefix
        self._pending: list[Event[T]] = list(backlog)
        self._limit = limit + len(backlog)
        self._bytes = 0
        self._reached = reached
        self._on_close = on_close
        self._sink: Callable[[Event[T]], bool] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: ApiError | None = None

    @property
    def revision(self) -> int:
        """The revision up to which everything has been taken by ``next``: what a bookmark may say."""
        return self._pending[0].revision - 1 if self._pending else self._reached()

    async def next(self, timeout: float | None = None) -> list[Event[T]]:
        """The events that came since the last call, at least one; none if ``timeout`` seconds passed.

        Raises:
            Lagged: too many events waited. A client that resumes where it was misses nothing.
            Expired: the cache had to be read anew, and the events in between are unknown.
        """
        if not self._pending and self._error is None:
            await self._wait(timeout)
        if self._error is not None:
            raise self._error
        taken, self._pending, self._bytes = self._pending, [], 0
        return taken

    def hand_to(self, sink: Callable[[Event[T]], bool]) -> None:
        """Give further events to ``sink`` at once, until it returns False: that one and later ones wait for ``next``.

        Has no effect while events wait. ``sink`` must neither block nor raise.
        """
        if not self._pending:
            self._sink = sink

    def push(self, event: Event[T]) -> bool:
        """Add an event; False if there is no room, which ends the subscription."""
        if self._sink is not None:
            if self._sink(event):
                return True
            self._sink = None
        pending = self._pending
        if len(pending) >= self._limit or self._bytes > MOST_BYTES:
            self.end(Lagged())
            return False
        pending.append(event)
        self._bytes += event.size
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return True

    def end(self, error: ApiError) -> None:
        """Let ``next`` raise, now and from now on."""
        self._error = error
        self._pending = []
        self._sink = None
        self._wake()

    def wake(self) -> None:
        """Let ``next`` return at once, even without events: cheaper than a timeout for each call."""
        self._wake()

    def close(self) -> None:
        self._on_close(self)
        self._error = None  # its traceback leads back here: what a watch held would wait for the garbage collector

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        # A plain timer: asyncio.timeout costs several times as much, once per batch and watcher.
        timer = loop.call_later(timeout, self._wake) if timeout is not None else None
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
