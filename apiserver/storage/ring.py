"""The recent events of one resource, for watches that start in the past.

Few watches go far back, and most readers want JSON, so all but the latest events hold their objects as that only,
and not as they were sent.
Holds what is younger than ``FRESH`` seconds, at least ``least`` events, at most ``most`` and about
``most_bytes`` of JSON: under load it grows to its bounds, afterwards it shrinks again.
"""

from collections import deque
from collections.abc import Sequence
from typing import Generic

from apiserver.storage.errors import too_old
from apiserver.storage.objects import Event, T

LATEST = 200  # events; near an end of a deque, so that finding one is quick
FRESH = 75.0  # s, as in kube-apiserver: longer than a client takes to come back


class Ring(Generic[T]):
    def __init__(self, least: int = 2000, most: int = 20_000, most_bytes: int = 32 << 20) -> None:
        self._events: deque[Event[T]] = deque()
        self._least, self._most, self._most_bytes = least, most, most_bytes
        self._bytes = 0
        self._oldest = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def oldest(self) -> int:
        """The earliest revision from which a watch can start: all later events are here."""
        return self._oldest

    def reset(self, revision: int) -> None:
        """Forget everything; events from after ``revision`` on will follow."""
        self._events.clear()
        self._bytes = 0
        self._oldest = revision

    def append(self, event: Event[T]) -> None:
        self._events.append(event)
        self._bytes += event.size
        if len(self._events) > LATEST:
            self._events[-LATEST - 1].shed()
        while self._is_over(event.time):
            dropped = self._events.popleft()
            self._bytes -= dropped.size
            self._oldest = dropped.revision

    def since(self, revision: int) -> Sequence[Event[T]]:
        """The events after ``revision``, in order.

        Raises:
            Expired: some of them are no longer here.
        """
        if revision < self._oldest:
            raise too_old(revision, self._oldest)
        # From the end: a watcher has usually missed little.
        events = []
        for event in reversed(self._events):
            if event.revision <= revision:
                break
            events.append(event)
        events.reverse()
        return events

    def _is_over(self, now: float) -> bool:
        count = len(self._events)
        if count <= 1:
            return False
        if count > self._most or self._bytes > self._most_bytes:
            return True
        return count > self._least and now - self._events[0].time > FRESH
