"""The server's side of a WebSocket (RFC 6455) on an upgraded connection; ``wsproto`` does the frames.

Owns the handshake with its subprotocol, pings, fragments and the closing handshake. No extensions: API traffic is
compressed elsewhere or not worth compressing. The meaning of messages is the business of other modules
(``remotecommand``).
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from wsproto.connection import Connection, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from component_base.streams import Stream, Upgrade
from component_base.websocket_frames import FrameSplitter

log = logging.getLogger(__name__)

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message; a larger one closes the connection with 1009."""

_CLOSE_TIMEOUT = 2.0
"""Seconds to wait for the peer's half of the closing handshake."""


class HandshakeError(Exception):
    """A request that cannot become a WebSocket; ``status`` and ``headers`` are for the HTTP answer."""

    def __init__(self, status: int, message: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = list(headers)


def is_websocket(scope: Mapping[str, Any]) -> bool:
    """Whether a request asks to become a WebSocket."""
    upgrade: Upgrade | None = (scope.get("extensions") or {}).get("upgrade")
    return upgrade is not None and "websocket" in upgrade.protocols


class WebSocket:
    """Messages both ways. One task may receive while others send."""

    def __init__(self, stream: Stream, subprotocol: str = "", max_message: int = MAX_MESSAGE) -> None:
        self.subprotocol = subprotocol
        self._stream = stream
        self._connection = Connection(ConnectionType.SERVER)
        self._max_message = max_message
        self._parts: list[bytes | str] = []
        self._size = 0
        self._pending: list[Event | bytes] = []
        self._splitter = FrameSplitter(max_message)
        self._in_fragments = False
        self._receiving = False
        self._ended = asyncio.Event()  # the peer's close has come, or the connection is gone
        self._closed = False

    @classmethod
    async def accept(
        cls, scope: Mapping[str, Any], subprotocols: Sequence[str] = (), max_message: int = MAX_MESSAGE
    ) -> "WebSocket":
        """Turn a request into a WebSocket, with the first of the client's subprotocols that we support.

        Raises:
            HandshakeError: not a WebSocket request, or one that offers only unsupported subprotocols.
            ConnectionResetError: the client is gone.
        """
        if not is_websocket(scope):
            raise HandshakeError(400, "websocket: the request does not ask for an upgrade")
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        key = _header(headers, b"sec-websocket-key").encode("latin-1")
        if scope["method"] != "GET" or not key:
            raise HandshakeError(400, "websocket: must be GET with a Sec-WebSocket-Key")
        if _header(headers, b"sec-websocket-version") != "13":
            version = (b"sec-websocket-version", b"13")
            raise HandshakeError(426, "websocket: version 13 is required", [version])
        subprotocol = negotiate(_header(headers, b"sec-websocket-protocol"), subprotocols)
        answer = [
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-accept", generate_accept_token(key)),
        ]
        if subprotocol:
            answer.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
        upgrade: Upgrade = scope["extensions"]["upgrade"]
        return cls(await upgrade.accept(answer), subprotocol, max_message)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(1000 if error is None else 1011)

    async def receive(self) -> bytes | str | None:
        """The next whole message; None when the peer has closed the connection, is gone, or broke the protocol."""
        self._receiving = True
        try:
            while not self._ended.is_set():
                while self._pending:
                    message = await self._handle(self._pending.pop(0))
                    if message is not None:
                        return message
                    if self._ended.is_set():
                        return None
                await self._read()
            return None
        finally:
            self._receiving = False

    async def send(self, message: bytes | str) -> None:
        """Send one message. Raises ConnectionResetError when the connection is closed or gone."""
        if isinstance(message, str):
            await self._write(TextMessage(data=message))
        else:
            await self._write(BytesMessage(data=message))

    async def ping(self) -> None:
        await self._write(Ping())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with both halves of the handshake, if the peer cooperates; never raises OSError."""
        if self._closed:
            return
        self._closed = True
        with suppress(ConnectionError, LocalProtocolError):
            if not self._ended.is_set():
                data = self._connection.send(CloseConnection(code=code, reason=reason[:100] or None))
                self._stream.write(data)
                # Closing the socket while the peer's bytes are unread would reset the connection and might
                # discard our last messages, so wait for the answer.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE_TIMEOUT):
                        await self._until_ended()
        self._stream.close()

    async def _until_ended(self) -> None:
        if self._receiving:
            await self._ended.wait()
        else:
            while await self.receive() is not None:
                continue

    async def _read(self) -> None:
        """Read some bytes from the peer into ``_pending``."""
        data = await self._stream.read()
        try:
            if not data:
                self._connection.receive_data(None)
            for is_message, part in self._splitter.feed(data) if data else ():
                if is_message and not self._in_fragments:
                    self._pending.append(part)
                    continue
                if is_message:  # in the middle of a fragmented message
                    raise RemoteProtocolError("expected CONTINUATION, got BINARY")
                self._connection.receive_data(part)
                for event in self._connection.events():
                    self._pending.append(event)
                    if isinstance(event, Message):
                        self._in_fragments = not event.message_finished
            if not data:
                self._pending += self._connection.events()
        except RemoteProtocolError as exc:
            log.info("websocket: %s; closing", exc)
            await self._fail(CloseReason.PROTOCOL_ERROR)
        if not data:
            self._ended.set()

    async def _handle(self, event: Event | bytes) -> bytes | str | None:
        """The message that this event is or completes, if any."""
        if isinstance(event, bytes):
            return event
        if isinstance(event, Message):
            self._parts.append(event.data)
            self._size += len(event.data)
            if self._size > self._max_message:
                await self._fail(CloseReason.MESSAGE_TOO_BIG)
                return None
            return self._take() if event.message_finished else None
        if isinstance(event, Ping):
            await self._answer(event.response())
        elif isinstance(event, CloseConnection):
            with suppress(LocalProtocolError):  # our own close was first: this is the answer
                await self._answer(event.response())
            self._ended.set()
        elif not isinstance(event, Pong):
            log.debug("websocket: %s ignored", event)
        return None

    def _take(self) -> bytes | str:
        parts, self._parts, self._size = self._parts, [], 0
        if isinstance(parts[0], str):
            return "".join(part for part in parts if isinstance(part, str))
        return b"".join(part for part in parts if isinstance(part, bytes | bytearray))

    async def _answer(self, event: Event) -> None:
        with suppress(ConnectionError):
            self._stream.write(self._connection.send(event))
            await self._stream.drain()

    async def _fail(self, code: int) -> None:
        with suppress(LocalProtocolError):
            await self._answer(CloseConnection(code=code))
        self._ended.set()
        self._stream.close()

    async def _write(self, event: Event) -> None:
        if self._closed or self._ended.is_set():
            raise ConnectionResetError("the websocket is closed")
        try:
            self._stream.write(self._connection.send(event))
        except LocalProtocolError as exc:
            raise ConnectionResetError("the websocket is closed") from exc
        await self._stream.drain()


def negotiate(offered: str, supported: Sequence[str]) -> str:
    """The first of the client's subprotocols that we support; empty if it offers none.

    Raises:
        HandshakeError: it offers only unsupported ones.
    """
    offers = [part.strip() for part in offered.split(",") if part.strip()]
    for subprotocol in offers:
        if subprotocol in supported:
            return subprotocol
    if offers and supported:
        asked, known = " ".join(offers), " ".join(supported)
        raise HandshakeError(400, f"websocket: unable to negotiate one of [{asked}]; supported are [{known}]")
    return ""


def _header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in headers if key == name).strip()
