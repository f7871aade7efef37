"""Questions over TCP, several on a connection, each with its length in front.

An answer that has to be waited for keeps none of the others back (RFC 7766): it comes when it is there. A client that
closes its side has its answers still.

Bounded in connections, and in the time that a connection may be idle or slow to take its answers.
"""

import asyncio
import logging
import struct
from collections.abc import Mapping
from time import perf_counter
from types import TracebackType
from typing import Final, Self

from kube_dns import metrics
from kube_dns.resolver import Resolver, Waiting

log = logging.getLogger(__name__)

IDLE: Final = 10.0
"""Seconds without a whole request after which a connection is closed, and for an answer to be taken."""

MAX_CONNECTIONS: Final = 1000
_PIPELINED: Final = 100
"""Questions of one connection that wait for other servers; the next one is read when there is room."""
_LENGTH: Final = struct.Struct("!H")


class TcpServer:
    """Serves one address, as an async context manager. Raises OSError when the address is unavailable."""

    def __init__(self, host: str, port: int, resolver: Resolver, idle: float = IDLE) -> None:
        self._host, self._port, self._resolver, self._idle = host, port, resolver, idle
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> Mapping[asyncio.Task[None], asyncio.StreamWriter]:
        return self._open

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._accept, self._host, self._port, backlog=128)
        except OSError as exc:
            raise OSError(exc.errno, f"cannot listen on {self._host}:{self._port}/tcp: {exc.strerror}") from exc
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task, writer in [*self._open.items()]:
            writer.transport.abort()
            task.cancel()
        if self._open:
            await asyncio.wait([*self._open])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            metrics.dropped.inc("too many connections")
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="tcp")
        self._open[task] = writer
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._open.pop(task).close()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a connection failed", exc_info=error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.TaskGroup() as waiting:
                await self._answer_all(reader, writer, waiting)
        except* OSError:  # reset, idle for too long, too slow to take its answers
            writer.transport.abort()

    async def _answer_all(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: asyncio.TaskGroup
    ) -> None:
        room = asyncio.Semaphore(_PIPELINED)
        while (request := await self._next(reader)) is not None:
            started = perf_counter()
            answer = self._resolver.respond(request, stream=True)
            if answer is None:
                return
            if isinstance(answer, bytes):
                await self._send(writer, answer, started)
            else:
                await room.acquire()
                task = waiting.create_task(self._wait(writer, answer, started), name="tcp answer")
                task.add_done_callback(lambda _: room.release())

    async def _next(self, reader: asyncio.StreamReader) -> bytes | None:
        """The next request; None once the client has finished. Raises TimeoutError."""
        try:
            async with asyncio.timeout(self._idle):
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                return await reader.readexactly(length)
        except asyncio.IncompleteReadError:
            return None

    async def _wait(self, writer: asyncio.StreamWriter, waiting: Waiting, started: float) -> None:
        await self._send(writer, await self._resolver.resolve(waiting), started)

    async def _send(self, writer: asyncio.StreamWriter, answer: bytes, started: float) -> None:
        writer.write(_LENGTH.pack(len(answer)) + answer)
        async with asyncio.timeout(self._idle):
            await writer.drain()
        metrics.request_duration.observe(perf_counter() - started, "tcp")
