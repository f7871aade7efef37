"""Structured logs on standard error: klog-like text for people, JSON for collectors.

Owns the root logger's handler and level. Logging never raises: if standard error is closed or full, the line is lost.
It is limited: one line of code may write ``BURST`` lines in ``WINDOW`` seconds; further ones are only counted.
"""

import contextlib
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Final, Literal

import msgspec

Format = Literal["text", "json"]

_LETTERS = {logging.DEBUG: "D", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}
_encode = msgspec.json.Encoder().encode


class TextFormatter(logging.Formatter):
    """``I0102 15:04:05.000000    1234 module.py:42] message``, as klog writes it."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.localtime(record.created)
        micros = int(record.created % 1 * 1_000_000)
        head = (
            f"{_LETTERS.get(record.levelno, 'I')}{at.tm_mon:02}{at.tm_mday:02} "
            f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}.{micros:06} {record.process or 0:7} "
            f"{record.name}:{record.lineno}] "
        )
        return head + record.getMessage() + _traceback(self, record, "\n")


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts (seconds), level, logger, caller, msg, and exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "caller": f"{record.filename}:{record.lineno}",
            "msg": record.getMessage(),
        }
        if exception := _traceback(self, record, ""):
            line["exception"] = exception
        return _encode(line).decode()


def _traceback(formatter: logging.Formatter, record: logging.LogRecord, prefix: str) -> str:
    return prefix + formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""


class _Handler(logging.StreamHandler[IO[str]]):
    def handleError(self, record: logging.LogRecord) -> None:
        """A line that cannot be written or formatted is lost."""


BURST: Final = 500
WINDOW: Final = 10.0
"""Seconds."""


@dataclass
class _LineCount:
    """What one line of code has written in the current window."""

    since: float
    lines: int = 0
    dropped: int = 0


class RateLimit(logging.Filter):
    """Limits how many lines each line of code writes in a window; the first after it says how many were dropped."""

    def __init__(self, burst: int = BURST, window: float = WINDOW, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._burst, self._window, self._clock = burst, window, clock
        self._counts: dict[tuple[str, int], _LineCount] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, place = self._clock(), (record.pathname, record.lineno)
        count = self._counts.get(place)
        if count is None or now - count.since >= self._window:
            dropped = count.dropped if count else 0
            count = self._counts[place] = _LineCount(now)
            if dropped:
                record.msg = f"{record.getMessage()} ({dropped} similar lines dropped before this one)"
                record.args = None
        count.lines += 1
        if count.lines <= self._burst or record.levelno >= logging.CRITICAL:
            return True
        count.dropped += 1
        return False


def setup(format: Format = "text", verbosity: int = 2) -> None:
    """Replace the root logger's handlers. Verbosity 0 shows warnings, 1 to 3 info, 4 and more debug."""
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = logging.WARNING if verbosity <= 0 else logging.INFO if verbosity < 4 else logging.DEBUG
    root.setLevel(level)
    # Libraries that log every request at info or debug, which is useful only to debug them.
    for name in ("asyncio", "urllib3", "docker"):
        logging.getLogger(name).setLevel(logging.WARNING if verbosity < 8 else logging.DEBUG)
    logging.raiseExceptions = False


def flush() -> None:
    """Write buffered lines; called before a hard exit, so it must not raise."""
    for handler in logging.getLogger().handlers:
        with contextlib.suppress(OSError, ValueError):  # standard error is gone
            handler.flush()
