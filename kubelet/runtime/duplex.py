"""A raw connection that the engine has handed over: a container's or a command's standard streams.

The SDK makes the request; the connection then belongs to the event loop, without threads. Without a terminal the
engine multiplexes standard output and error in frames: stream type, three zeros, length, payload.
"""

import asyncio
import io
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

_FRAME = struct.Struct(">BxxxL")
STDOUT, STDERR = 1, 2

_CHUNK = 65536


@dataclass(frozen=True)
class Connection:
    """As the event loop has it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ahead: bytes
    """Data that was read beyond the response's headers."""


async def connect(connection: socket.socket, ahead: bytes) -> Connection:
    if connection.family == socket.AF_UNIX:
        reader, writer = await asyncio.open_unix_connection(sock=connection)
    else:
        reader, writer = await asyncio.open_connection(sock=connection)
    return Connection(reader, writer, ahead)


class Duplex:
    """Standard streams both ways. Use as an async context manager; leaving it drops the connection."""

    def __init__(self, connection: Connection, tty: bool) -> None:
        self._reader, self._writer, self._ahead = connection.reader, connection.writer, connection.ahead
        self._tty = tty

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def output(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """``(STDOUT or STDERR, data)`` until the command closes both."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                if self._tty:
                    data = await self._read_some()
                    if not data:
                        return
                    yield STDOUT, data
                else:
                    stream, length = _FRAME.unpack(await self._read_exactly(_FRAME.size))
                    yield (STDERR if stream == STDERR else STDOUT), await self._read_exactly(length)

    async def write(self, data: bytes) -> None:
        """Standard input. It is no error if the command no longer reads it."""
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    def close_stdin(self) -> None:
        with suppress(OSError):
            self._writer.write_eof()

    async def _read_exactly(self, count: int) -> bytes:
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken + await self._reader.readexactly(count - len(taken)) if len(taken) < count else taken

    async def _read_some(self) -> bytes:
        if self._ahead:
            taken, self._ahead = self._ahead, b""
            return taken
        return await self._reader.read(_CHUNK)


def take_over(raw: Any) -> tuple[socket.socket, bytes]:
    """The SDK's connection, and what its HTTP reader had already buffered beyond the headers."""
    inner: socket.socket = raw._sock
    connection = socket.socket(fileno=socket.dup(inner.fileno()))
    connection.setblocking(False)
    inner.setblocking(False)  # a socket object keeps its own timeout: peek would wait for output that never comes
    ahead = b""
    response = getattr(raw, "_response", None)
    buffered = getattr(getattr(getattr(response, "raw", None), "_fp", None), "fp", None)
    if isinstance(buffered, io.BufferedReader):
        with suppress(OSError, ValueError):
            ahead = buffered.peek() or b""
    if response is not None:
        response.close()
    return connection, ahead
