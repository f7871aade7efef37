"""The audit log: a file of JSON lines, rotated by size, kept for some days and up to a number of files.

Requests hand their lines over and go on; they are on disk a moment later, all of them when the server stops in order.
When the disk cannot follow, lines are dropped and counted rather than requests held up.
"""

import asyncio
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from component_base.metrics import Counter

log = logging.getLogger(__name__)

_INTERVAL: Final = 0.1  # s between two writes
_WAITING: Final = 16 * 1024 * 1024  # bytes that may wait for the disk
_MODE: Final = 0o600
_DAY: Final = 86_400.0  # s

_recorded: Final = Counter("apiserver_audit_event", "Audit events that were recorded.")
_lost: Final = Counter("apiserver_audit_error", "Audit events that were lost: the log could not be written.")


class LogFile:
    """The file itself. Blocks; used by one thread at a time.

    Args:
        max_size: megabytes after which the file is rotated; 0 for never.
        max_backups: rotated files that are kept; 0 for all.
        max_age: days that they are kept; 0 for ever.
    """

    def __init__(self, path: Path, *, max_size: int, max_backups: int, max_age: int) -> None:
        self._path, self._limit = path, max_size * 1024 * 1024
        self._max_backups, self._max_age = max_backups, max_age

    def append(self, data: bytes) -> None:
        """Raises OSError."""
        if self._limit and self._path.exists() and self._path.stat().st_size + len(data) > self._limit:
            self._rotate()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _MODE)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            file.write(data)

    def _rotate(self) -> None:
        path, moment = self._path, datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        path.rename(path.with_name(f"{path.stem}-{moment}{path.suffix}"))
        backups = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))  # their names sort by time
        excess = backups[: -self._max_backups] if self._max_backups else []
        oldest = time.time() - self._max_age * _DAY if self._max_age else 0.0
        for backup in backups:
            if backup in excess or backup.stat().st_mtime < oldest:
                backup.unlink(missing_ok=True)


class StandardOutput:
    """``--audit-log-path=-``."""

    def append(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


class AuditLog:
    """Lines on their way to the file."""

    def __init__(self, file: LogFile | StandardOutput) -> None:
        self._file = file
        self._lines: deque[bytes] = deque()
        self._waiting = 0

    def add(self, line: bytes) -> None:
        """Record one event, JSON without a line break."""
        if self._waiting > _WAITING:
            _lost.inc()
            return
        self._lines.append(line)
        self._waiting += len(line)
        _recorded.inc()

    async def run(self) -> None:
        """Write until cancelled, and then what is left."""
        try:
            while True:
                await asyncio.sleep(_INTERVAL)
                if lines := self._taken():
                    _lost.inc(by=await asyncio.to_thread(self._write, lines))
        finally:
            self._write(self._taken())

    def _taken(self) -> list[bytes]:
        lines = list(self._lines)
        self._lines.clear()
        self._waiting = 0
        return lines

    def _write(self, lines: Sequence[bytes]) -> int:
        """Returns how many lines were lost."""
        try:
            self._file.append(b"".join(line + b"\n" for line in lines))
        except OSError as fault:
            log.error("audit log: %d events were lost: %s", len(lines), fault)
            return len(lines)
        return 0
