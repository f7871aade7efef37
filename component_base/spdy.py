"""The server's side of a SPDY/3.1 connection: many streams over one upgraded connection, all opened by the client.

Owns the handshake with its protocol, the streams' half-closes and resets, pings. The content of the streams is the
business of other modules. The carrier may be the raw connection, or a WebSocket that tunnels it (``WebSocketTunnel``).
A stream that nobody reads blocks the others once ``_AHEAD`` bytes wait in it: there is no flow control per stream.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

from component_base import spdy_frames
from component_base.bounded_log import BoundedLog
from component_base.spdy_frames import Control, Data, FrameReader, FrameWriter, SpdyError
from component_base.streams import Upgrade
from component_base.websocket import HandshakeError, WebSocket

log = logging.getLogger(__name__)
client_log = BoundedLog(log)

UPGRADE = "spdy/3.1"
PROTOCOL_HEADER = b"x-stream-protocol-version"

_AHEAD = 1024 * 1024
"""Bytes that may wait in one stream for their reader."""

_CHUNK = 32 * 1024
"""Bytes of one data frame."""

_LINGER = 2.0
"""Seconds to wait for the client to close its end of a closing connection; otherwise a reset may lose our last bytes."""


class Carrier(Protocol):
    """What transports the bytes. ``Stream`` is one."""

    async def read(self) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def close(self) -> None: ...


class WebSocketTunnel:
    """Transports the bytes as binary messages of a WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._out: deque[bytes] = deque()
        self._sending = asyncio.Lock()

    async def read(self) -> bytes:
        message = await self._socket.receive()
        while message is not None and not message:
            message = await self._socket.receive()
        return b"" if message is None else message.encode() if isinstance(message, str) else message

    def write(self, data: bytes) -> None:
        self._out.append(data)

    async def drain(self) -> None:
        async with self._sending:
            while self._out:
                await self._socket.send(self._out.popleft())

    def close(self) -> None:
        """The WebSocket's own context closes it."""


def is_spdy(scope: Mapping[str, Any]) -> bool:
    """Whether a request asks to become a SPDY connection."""
    upgrade: Upgrade | None = (scope.get("extensions") or {}).get("upgrade")
    return upgrade is not None and UPGRADE in upgrade.protocols


class SpdyStream:
    """One stream, both ways."""

    def __init__(self, connection: "SpdyConnection", id: int, headers: Mapping[str, str], *, ended: bool) -> None:
        self.id, self.headers = id, headers
        self._connection = connection
        self._received: deque[bytes] = deque()
        self._waiting = 0
        self._read_ended, self._write_ended, self._lost = ended, False, False
        self._readable = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def read(self) -> bytes:
        """The next bytes; empty once the client has closed its half, or the stream or the connection is gone."""
        while not self._received:
            if self._read_ended:
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = self._received.popleft()
        self._waiting -= len(data)
        if self._waiting <= _AHEAD // 2:
            self._room.set()
        return data

    async def receive(self) -> bytes:
        """As ``read``, but a stream that was reset, or lost with its connection, raises ConnectionResetError."""
        data = await self.read()
        if not data and self._lost:
            raise ConnectionResetError("the stream was reset")
        return data

    async def write(self, data: bytes) -> None:
        """Raises ConnectionResetError when the client has reset the stream or is gone."""
        for start in range(0, len(data), _CHUNK):
            if self._write_ended:
                raise ConnectionResetError("the stream is closed")
            await self._connection.send_data(self.id, data[start : start + _CHUNK])

    async def close_write(self) -> None:
        """Close our half. Never raises OSError."""
        if not self._write_ended:
            self._write_ended = True
            with suppress(ConnectionError):
                await self._connection.send_data(self.id, b"", fin=True)

    async def received(self, data: bytes, *, fin: bool) -> None:
        """Called by the connection with received data; returns when there is room for more."""
        if data and not self._read_ended:
            self._received.append(data)
            self._waiting += len(data)
            self._readable.set()
        if fin:
            self._read_ended = True
            self._readable.set()
        if self._waiting > _AHEAD:
            self._room.clear()
            await self._room.wait()

    def abandon(self) -> None:
        """The stream was reset, or the connection is gone: end both halves."""
        self._lost = self._read_ended = self._write_ended = True
        self._readable.set()
        self._room.set()


class SpdyConnection:
    """Use as an async context manager; ``streams`` yields each stream that the client opens."""

    def __init__(self, carrier: Carrier, protocol: str = "") -> None:
        self.protocol = protocol
        self._carrier = carrier
        self._reader, self._writer = FrameReader(), FrameWriter()
        self._streams: dict[int, SpdyStream] = {}
        self._last = 0
        self._opened: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def accept(cls, scope: Mapping[str, Any], protocols: Sequence[str]) -> "SpdyConnection":
        """Turn a request into a SPDY connection, with the first of our ``protocols`` that the client offers.

        A client that offers none gets the last, which is the oldest and had no name yet.

        Raises:
            HandshakeError: the request does not ask for SPDY, or offers only unknown protocols.
            ConnectionResetError: the client is gone.
        """
        if not is_spdy(scope):
            raise HandshakeError(400, "unable to upgrade: missing upgrade headers in request")
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == PROTOCOL_HEADER]
        offered = [part.strip() for value in values for part in value.split(",")]
        chosen = next((protocol for protocol in protocols if protocol in offered), "" if not offered else None)
        if chosen is None:
            accepted = [(b"x-accepted-stream-protocol-versions", protocol.encode()) for protocol in protocols]
            message = f"unable to upgrade: unable to negotiate protocol: client supports [{' '.join(offered)}]"
            raise HandshakeError(403, f"{message}, server accepts [{' '.join(protocols)}]", accepted)
        answer = [(b"connection", b"Upgrade"), (b"upgrade", b"SPDY/3.1")]
        if chosen:
            answer.append((PROTOCOL_HEADER, chosen.encode("latin-1")))
        upgrade: Upgrade = scope["extensions"]["upgrade"]
        return cls(await upgrade.accept(answer), chosen or protocols[-1])

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="spdy")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._say_goodbye()
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
            self._carrier.close()

    async def streams(self) -> AsyncIterator[SpdyStream]:
        """Until the client is gone."""
        while (stream := await self._opened.get()) is not None:
            yield stream

    async def wait_gone(self) -> None:
        """Return when the client has closed the connection."""
        await self._gone.wait()

    async def send_data(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        """Raises ConnectionResetError."""
        await self._send(self._writer.data(stream, data, fin=fin))

    async def _send(self, frame: bytes) -> None:
        if self._gone.is_set():
            raise ConnectionResetError("the connection is gone")
        self._carrier.write(frame)
        await self._carrier.drain()

    async def _say_goodbye(self) -> None:
        with suppress(ConnectionError):
            for stream in [*self._streams.values()]:
                await stream.close_write()
            await self._send(self._writer.goaway(self._last))
        for stream in self._streams.values():
            stream.abandon()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                await self._gone.wait()

    async def _run(self) -> None:
        try:
            while data := await self._carrier.read():
                for frame in self._reader.feed(data):
                    await self._handle(frame)
        except (SpdyError, ConnectionError) as exc:
            client_log.info("spdy: %s; closing", exc)
        finally:
            self._gone.set()
            for stream in self._streams.values():
                stream.abandon()
            self._opened.put_nowait(None)

    async def _handle(self, frame: spdy_frames.Frame) -> None:
        if isinstance(frame, Data):
            if stream := self._streams.get(frame.stream):
                await stream.received(frame.data, fin=frame.fin)
            else:
                await self._send(self._writer.rst_stream(frame.stream, spdy_frames.INVALID_STREAM))
            return
        match frame.kind:
            case spdy_frames.SYN_STREAM:
                await self._open(frame)
            case spdy_frames.RST_STREAM:
                if stream := self._streams.pop(frame.stream, None):
                    stream.abandon()
            case spdy_frames.HEADERS if frame.fin:
                if stream := self._streams.get(frame.stream):
                    await stream.received(b"", fin=True)
            case spdy_frames.PING if frame.value % 2:  # odd numbers are the client's; even ones would be answers
                await self._send(self._writer.ping(frame.value))

    async def _open(self, frame: Control) -> None:
        if frame.stream <= self._last or not frame.stream % 2:
            raise SpdyError(f"stream {frame.stream} cannot be opened after {self._last}")
        self._last = frame.stream
        stream = self._streams[frame.stream] = SpdyStream(self, frame.stream, frame.headers, ended=frame.fin)
        await self._send(self._writer.syn_reply(frame.stream, {}))
        self._opened.put_nowait(stream)

    def forget(self, stream: SpdyStream) -> None:
        """Drop a stream whose halves are both closed."""
        stream.abandon()
        self._streams.pop(stream.id, None)
