"""Tells the operators what etcd says when a call fails, in its own words, which clients must not see."""

import logging
import time
from typing import Final

log = logging.getLogger(__name__)

PAUSE: Final = 10.0
"""Seconds between two lines that say the same: while etcd is away, every request fails."""

_LONGEST: Final = 1000
_MANY: Final = 100
"""Different texts that are remembered."""


class FailureLog:
    """Belongs to the event loop."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], float] = {}
        self._suppressed: dict[tuple[str, str, str], int] = {}

    def failed(self, operation: str, code: str, text: str) -> None:
        """Log a failed call. A repetition is only counted until ``PAUSE`` is over."""
        now, failure = time.monotonic(), (operation, code, text[:_LONGEST])
        if now - self._last.get(failure, -PAUSE) < PAUSE:
            self._suppressed[failure] = self._suppressed.get(failure, 0) + 1
            return
        if len(self._last) >= _MANY:
            self._last.clear()
            self._suppressed.clear()
        self._last[failure] = now
        again = self._suppressed.pop(failure, 0)
        log.warning("etcd: %s failed: %s: %s%s", *failure, f" ({again} times more since)" if again else "")
