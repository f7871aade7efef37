"""Running a command in a container: a duplex stream without threads, and its exit code.

The SDK starts the exec and hands over the raw connection, which then belongs to the event loop. Without a terminal
the engine multiplexes standard output and error in frames: stream type, three zeros, length, payload.
"""

import asyncio
import io
import socket
import struct
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import docker

from kubelet.runtime import errors
from kubelet.runtime.engine import Engine

_FRAME = struct.Struct(">BxxxL")
STDOUT, STDERR = 1, 2

_CHUNK = 65536

_EXIT_POLL = 0.02
"""Seconds between looks for the exit code: the engine closes the stream a moment before it has it."""


@dataclass(frozen=True)
class ExecOptions:
    command: Sequence[str]
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


class Exec:
    """A command that was started. Use as an async context manager; leaving it drops the connection."""

    def __init__(
        self,
        engine: Engine,
        id: str,
        tty: bool,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ahead: bytes,
    ) -> None:
        self._engine, self._id, self._tty = engine, id, tty
        self._reader, self._writer = reader, writer
        self._ahead = ahead

    async def __aenter__(self) -> "Exec":
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
        """Standard input. A command that no longer reads it is no error."""
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    def close_stdin(self) -> None:
        with suppress(OSError):
            self._writer.write_eof()

    async def resize(self, width: int, height: int) -> None:
        with suppress(errors.EngineError):  # the command may have ended; a size is a courtesy
            await self._engine.call(lambda client: client.exec_resize(self._id, height=height, width=width))

    async def exit_code(self) -> int:
        """Once ``output`` has ended."""
        while True:
            found = await self._engine.call(lambda client: client.exec_inspect(self._id))
            if not found.get("Running") and found.get("ExitCode") is not None:
                return int(found["ExitCode"])
            await asyncio.sleep(_EXIT_POLL)

    async def _read_exactly(self, count: int) -> bytes:
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken + await self._reader.readexactly(count - len(taken)) if len(taken) < count else taken

    async def _read_some(self) -> bytes:
        if self._ahead:
            taken, self._ahead = self._ahead, b""
            return taken
        return await self._reader.read(_CHUNK)


async def start_exec(engine: Engine, container: str, options: ExecOptions) -> Exec:
    """Start a command. Raises ``errors.EngineError``: ``Conflict`` when the container does not run."""

    def work(client: docker.APIClient) -> tuple[str, socket.socket, bytes]:
        created = client.exec_create(
            container,
            list(options.command),
            stdin=options.stdin,
            stdout=options.stdout,
            stderr=options.stderr,
            tty=options.tty,
        )
        raw = client.exec_start(created["Id"], tty=options.tty, socket=True)
        return created["Id"], *_take_over(raw)

    id, connection, ahead = await engine.call(work)
    if connection.family == socket.AF_UNIX:
        reader, writer = await asyncio.open_unix_connection(sock=connection)
    else:
        reader, writer = await asyncio.open_connection(sock=connection)
    return Exec(engine, id, options.tty, reader, writer, ahead)


def _take_over(raw: Any) -> tuple[socket.socket, bytes]:
    """The connection out of the SDK's hands, and what its HTTP reader had already buffered past the header."""
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
