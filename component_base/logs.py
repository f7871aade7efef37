"""Structured logs on standard error: klog-like text for people, JSON for collectors.

Owns the root logger's handler and level. Promises that logging never raises and never blocks a daemon for
good: a closed or full standard error costs the line, nothing else. What goes wrong a thousand times a second is told
some times, and then how often it was not: one line of code may write ``BURST`` lines in ``WINDOW`` seconds.
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
    """One JSON object a line: ts (seconds), level, logger, caller, msg, and exception if there is one."""

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
        """A line that cannot be written or formatted is lost; the daemon goes on."""


BURST: Final = 500
WINDOW: Final = 10.0
"""Seconds."""


@dataclass
class _Told:
    """What one line of code has written in the current window."""

    since: float
    lines: int = 0
    left_out: int = 0


class RateLimit(logging.Filter):
    """Lets each line of code write so many lines in a window; the next one after it tells how many were left out."""

    def __init__(self, burst: int = BURST, window: float = WINDOW, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._burst, self._window, self._clock = burst, window, clock
        self._told: dict[tuple[str, int], _Told] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, place = self._clock(), (record.pathname, record.lineno)
        told = self._told.get(place)
        if told is None or now - told.since >= self._window:
            left_out = told.left_out if told else 0
            told = self._told[place] = _Told(now)
            if left_out:
                record.msg = f"{record.getMessage()} ({left_out} lines like this one were left out before it)"
                record.args = None
        told.lines += 1
        if told.lines <= self._burst or record.levelno >= logging.CRITICAL:
            return True
        told.left_out += 1
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
    # Libraries that tell every request at info or debug; wanted only by who hunts in them.
    for name in ("httpx", "httpcore", "asyncio", "urllib3", "docker"):
        logging.getLogger(name).setLevel(logging.WARNING if verbosity < 8 else logging.DEBUG)
    logging.raiseExceptions = False


def flush() -> None:
    """Write out what is buffered; called before a hard exit, so it must not raise."""
    for handler in logging.getLogger().handlers:
        with contextlib.suppress(OSError, ValueError):  # standard error is gone
            handler.flush()
