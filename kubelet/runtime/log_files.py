"""A container's log from the files that the engine writes (``json-file``), across their rotation.

The engine's own reader loses or repeats lines when a file is rotated while it follows one (20.10 does). Here a file
stays open while it is renamed, is read to its end, and then the next newer one is identified by inode, not by name. Each
line of a file is an entry; a long line of output is split into several.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

POLL_SECONDS: Final = 0.1
"""Between reads of a file that is followed."""

_CHUNK: Final = 256 * 1024
_MAX_FILES: Final = 1000


class _Entry(msgspec.Struct):
    log: str = ""
    time: str = ""


_DECODER: Final = msgspec.json.Decoder(_Entry)


class LogFiles:
    """The files of one log, the oldest first. Has to be closed."""

    def __init__(self, path: Path) -> None:
        """Raises OSError if there is no log."""
        self._path = path
        self._files: list[BinaryIO] = []
        inodes = set()
        # The newest first: a rotation in between makes a file appear twice, never disappear.
        for n in range(_MAX_FILES):
            try:
                file = self._name(n).open("rb")
            except FileNotFoundError:
                if n == 0:
                    raise
                break
            inode = os.fstat(file.fileno()).st_ino
            if inode in inodes:
                file.close()
            else:
                inodes.add(inode)
                self._files.insert(0, file)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def skip_to_tail(self, lines: int) -> None:
        """Skip all but the last ``lines`` entries."""
        tail: list[BinaryIO] = []
        while self._files and lines >= 0:
            file = self._files.pop()
            tail.insert(0, file)
            count = _count_lines(file)
            _skip_lines(file, max(0, count - lines))
            lines = lines - count if count <= lines else -1
        for file in self._files:
            file.close()
        self._files = tail

    def read(self) -> bytes:
        """The next bytes; empty while there are none."""
        while True:
            if data := self._files[0].read(_CHUNK):
                return data
            if len(self._files) > 1:
                self._files.pop(0).close()
                continue
            newer = self._newer()
            if newer is None:
                return b""
            if data := self._files[0].read(_CHUNK):  # written after the read above and before the rotation
                self._files.append(newer)
                return data
            self._files.append(newer)

    def has_more(self) -> bool:
        """Whether ``read`` would return data; cheap."""
        file = self._files[0]
        size = os.fstat(file.fileno()).st_size
        if size < file.tell():  # with a single file, the engine truncates it
            file.seek(0)
        if len(self._files) > 1 or size > file.tell():
            return True
        with suppress(OSError):
            return os.stat(self._path).st_ino != os.fstat(file.fileno()).st_ino
        return False

    def _newer(self) -> BinaryIO | None:
        """The file after the one that is being read; None while that is the newest."""
        inode = os.fstat(self._files[0].fileno()).st_ino
        after: BinaryIO | None = None
        for n in range(_MAX_FILES):
            try:
                file = self._name(n).open("rb")
            except OSError:
                break  # ours was removed: continue with the oldest that is left
            if os.fstat(file.fileno()).st_ino == inode:
                file.close()
                return after
            if after is not None:
                after.close()
            after = file
        return after

    def _name(self, n: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{n}") if n else self._path


class Formatter:
    """Makes text of entries that arrive in pieces."""

    def __init__(self, since: float | None, *, timestamps: bool) -> None:
        self._since, self._timestamps = since, timestamps
        self._rest = b""
        self._at_start = True

    def feed(self, data: bytes) -> bytes:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        out = []
        for line in lines:
            try:
                entry = _DECODER.decode(line)
            except msgspec.DecodeError:  # left by a machine that lost power
                continue
            if self._since is not None:
                if _seconds(entry.time) < self._since:
                    continue
                self._since = None  # entries are in order
            if self._timestamps and self._at_start:
                out.append(f"{entry.time} ")
            out.append(entry.log)
            self._at_start = entry.log.endswith("\n")
        return "".join(out).encode("utf-8", "surrogatepass")


async def read_files(
    files: LogFiles, formatter: Formatter, *, tail: int | None, follow: bool, running: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    """The log's text; with ``follow`` until the container has ended and all has been read."""
    try:
        if tail is not None:
            await asyncio.to_thread(files.skip_to_tail, tail)
        while True:
            is_last = not (follow and running())
            while files.has_more() and (data := await asyncio.to_thread(files.read)):
                if text := formatter.feed(data):
                    yield text
            if is_last:
                return
            await asyncio.sleep(POLL_SECONDS)
    finally:
        files.close()


def _count_lines(file: BinaryIO) -> int:
    count = 0
    while data := file.read(_CHUNK):
        count += data.count(b"\n")
    return count


def _skip_lines(file: BinaryIO, count: int) -> None:
    file.seek(0)
    for _ in range(count):
        file.readline()


def _seconds(moment: str) -> float:
    """RFC 3339 with nanoseconds, in UTC."""
    try:
        whole, _, fraction = moment.rstrip("Z").partition(".")
        return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
    except ValueError:
        return 0.0
