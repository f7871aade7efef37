"""An upgraded connection as a raw byte stream, with back-pressure both ways.

The application finds an ``Upgrade`` in ``scope["extensions"]["upgrade"]`` of a request that asks for one, and
either answers it like any request (the connection then closes after the answer) or accepts. The protocol on the
stream (WebSocket, SPDY) is the business of other modules.
"""

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

_HIGH, _LOW = 256 * 1024, 64 * 1024
"""Bytes read ahead of the application at which the transport is paused and resumed."""

Headers = Iterable[tuple[bytes, bytes]]


class Stream(asyncio.Protocol):
    """Bytes in and out. Closed no later than the end of the task that accepted it."""

    def __init__(self, transport: asyncio.Transport, received: bytes = b"") -> None:
        self._transport = transport
        self._buffer = bytearray(received)
        self._paused = False
        self._eof = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self.on_lost: Callable[[], None] | None = None
        if received:
            self._readable.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether the connection is gone or being closed."""
        return self._lost.is_set() or self._transport.is_closing()

    async def read(self, limit: int = 65536) -> bytes:
        """The next bytes, at most ``limit``; empty at the end of the stream."""
        while not self._buffer:
            if self._eof or self._lost.is_set():
                return b""
            self._readable.clear()
            await self._readable.wait()
        if len(self._buffer) <= limit:
            data = bytes(self._buffer)
            self._buffer.clear()
        else:
            data = bytes(self._buffer[:limit])
            del self._buffer[:limit]
        if self._paused and len(self._buffer) <= _LOW:
            self._paused = False
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        """Send; call ``drain`` soon after. Ignored once the connection is closed."""
        if not self.closed:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the write buffer has room. Raises ConnectionResetError when the connection is gone."""
        await self._writable.wait()
        if self._lost.is_set():
            raise ConnectionResetError("the connection is gone")

    def close(self) -> None:
        """Close after all buffered data has been sent."""
        if not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        """Close at once; buffered data may be lost."""
        self._transport.abort()

    async def wait_closed(self) -> None:
        await self._lost.wait()

    def shutdown(self) -> None:
        """Called when the server stops. The application ends its stream itself (see ``Server.stopping``)."""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._readable.set()
        if not self._paused and len(self._buffer) > _HIGH:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._eof = True
        self._readable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        self._readable.set()
        self._writable.set()
        if self.on_lost is not None:
            self.on_lost()


class Upgrade(Protocol):
    """A connection that an application can take over."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols in the client's ``Upgrade`` headers, in lower case."""
        ...

    async def accept(self, headers: Headers) -> Stream:
        """Answer 101 with these headers (``connection`` and ``upgrade`` among them) and take the stream.

        Raises ConnectionResetError when the client is gone.
        """
        ...
