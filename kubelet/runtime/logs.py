"""A container's log as an async stream of bytes, standard output and error merged in order.

A thread of its own reads from the engine and waits while nobody takes what it read.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kubelet.runtime import errors
from kubelet.runtime.engine import Engine

log = logging.getLogger(__name__)

_AHEAD = 16
"""Chunks that the reader may be ahead of the taker."""


@dataclass(frozen=True)
class LogOptions:
    follow: bool = False
    tail_lines: int | None = None
    since: float | None = None
    """Seconds since the epoch."""
    timestamps: bool = False
    limit_bytes: int | None = None


async def read_logs(engine: Engine, id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
    """Chunks as they come. Raises ``errors.EngineError`` before the first chunk if there is no log to read."""
    reader = _Reader(engine, id, options)
    left = options.limit_bytes
    try:
        async for chunk in reader.chunks():
            if left is not None and len(chunk) >= left:
                yield chunk[:left]
                return
            left = left - len(chunk) if left is not None else None
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
        except Exception as exc:  # the SDK trips over a stream closed under its feet in many ways
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
