"""Growing pauses between repeated failures of the same thing, reset after a time without any. The clock is a parameter."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass


@dataclass
class _Entry:
    pause: float
    counted_at: float


class Backoff:
    """Pauses in seconds: ``first``, doubled to ``limit``; twice the limit without a failure starts over.

    The first failure costs no pause: a container that ends once is started again at once.
    """

    def __init__(self, first: float, limit: float, clock: Callable[[], float]) -> None:
        self._first, self._limit, self._clock = first, limit, clock
        self._entries: dict[Hashable, _Entry] = {}

    def wait(self, key: Hashable, failed_at: float) -> float:
        """Seconds left to the next try of what failed at ``failed_at``; 0 when it may be tried."""
        entry = self._entries.get(key)
        if entry is None or self._is_old(entry, failed_at):
            return 0.0
        return max(0.0, failed_at + entry.pause - self._clock())

    def pause(self, key: Hashable) -> float:
        """The whole length of the current pause."""
        entry = self._entries.get(key)
        return entry.pause if entry else 0.0

    def count(self, key: Hashable, failed_at: float) -> None:
        """Count a try after the failure at ``failed_at``: after the next failure the pause is longer."""
        entry = self._entries.get(key)
        if entry is None or self._is_old(entry, failed_at):
            self._entries[key] = _Entry(self._first, self._clock())
        else:
            self._entries[key] = _Entry(min(self._limit, entry.pause * 2), self._clock())

    def forget(self, key: Hashable) -> None:
        self._entries.pop(key, None)

    def _is_old(self, entry: _Entry, failed_at: float) -> bool:
        return failed_at - entry.counted_at > 2 * self._limit
