"""A log for what clients do wrong: nobody fills the disk by doing it again and again."""

import logging
import time
from collections.abc import Callable


class BoundedLog:
    """At most ``lines`` lines in ``seconds`` seconds; the first one after that says how many were left out."""

    def __init__(
        self,
        log: logging.Logger,
        lines: int = 10,
        seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._lines, self._seconds, self._clock = log, lines, seconds, clock
        self._until, self._written, self._left_out = 0.0, 0, 0

    def info(self, message: str, *arguments: object) -> None:
        """As ``Logger.info``."""
        now = self._clock()
        if now >= self._until:
            if self._left_out:
                self._log.info("%d lines like the last ones were left out", self._left_out)
            self._until, self._written, self._left_out = now + self._seconds, 0, 0
        if self._written == self._lines:
            self._left_out += 1
            return
        self._written += 1
        self._log.info(message, *arguments)
