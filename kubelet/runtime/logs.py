"""A container's log as an async stream of bytes, standard output and error merged in order.

It is read from the engine's files if they are on this machine (``log_files``). Otherwise the engine reads them: a thread
takes its output, and waits while the reader is slower.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelet.runtime import errors
from kubelet.runtime.engine import Engine
from kubelet.runtime.log_files import Formatter, LogFiles, read_files

log = logging.getLogger(__name__)

_AHEAD = 16
"""Chunks that may be read ahead."""


@dataclass(frozen=True)
class LogOptions:
    follow: bool = False
    tail_lines: int | None = None
    since: float | None = None
    """Seconds since the epoch."""
    timestamps: bool = False
    limit_bytes: int | None = None


async def read_logs(
    engine: Engine, id: str, options: LogOptions, running: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    """Chunks as they are written; ``running`` is whether the container may still write more.

    Raises ``errors.EngineError`` before the first chunk if there is no log to read.
    """
    left = options.limit_bytes
    async with aclosing(await _chunks(engine, id, options, running)) as chunks:
        async for chunk in chunks:
            if left is not None and len(chunk) >= left:
                yield chunk[:left]
                return
            left = left - len(chunk) if left is not None else None
            yield chunk


async def _chunks(
    engine: Engine, id: str, options: LogOptions, running: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    inspected: dict[str, Any] = await engine.call(lambda client: client.inspect_container(id))
    path = inspected.get("LogPath")
    try:
        files = LogFiles(Path(path)) if path else None
    except OSError as exc:
        log.info("%s: %s; the engine will read it", path, exc)
        files = None
    if files is None:
        return _from_engine(engine, id, options)
    formatter = Formatter(options.since, timestamps=options.timestamps)
    return read_files(files, formatter, tail=options.tail_lines, follow=options.follow, running=running)


async def _from_engine(engine: Engine, id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
    reader = _Reader(engine, id, options)
    try:
        async for chunk in reader.chunks():
            yield chunk
    finally:
        reader.close()


class _Reader:
    def __init__(self, engine: Engine, id: str, options: LogOptions) -> None:
        self._engine, self._id, self._options = engine, id, options
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | errors.EngineError | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self._closed = False
        self._stream: Any = None
        threading.Thread(target=self._read, name=f"logs {id[:12]}", daemon=True).start()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while True:
            item = await self._queue.get()
            self._room.release()
            if item is None:
                return
            if isinstance(item, errors.EngineError):
                raise item
            yield item

    def close(self) -> None:
        self._closed = True
        self._room.release()
        if self._stream is not None:
            with suppress(Exception):  # the SDK shuts the socket down; it may be gone already
                self._stream.close()

    def _read(self) -> None:
        options = self._options
        end: errors.EngineError | None = None
        try:
            with self._engine.dedicated() as client, errors.translated():
                self._stream = client.logs(
                    self._id,
                    stdout=True,
                    stderr=True,
                    stream=True,
                    follow=options.follow,
                    timestamps=options.timestamps,
                    tail="all" if options.tail_lines is None else options.tail_lines,
                    since=options.since,
                )
                for chunk in self._stream:
                    if self._closed or not self._put(chunk):
                        return
        except errors.EngineError as exc:
            end = exc
        except Exception as exc:  # a stream that is closed meanwhile makes the SDK fail in many ways
            if not self._closed:
                end = errors.Unavailable(f"the log stream broke: {exc!r}")
        if not self._closed:
            self._put(end)

    def _put(self, item: bytes | errors.EngineError | None) -> bool:
        self._room.acquire()
        if self._closed:
            return False
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the loop is closed
            return False
        return True
