"""Exec and attach: a command's streams over one WebSocket, by Kubernetes' channel protocol.

A message is a channel's number and bytes of it: stdin 0, stdout 1, stderr 2, error 3, resize 4. Subprotocols:
``v5.channel.k8s.io`` (as v4, and 255 with a channel's number closes that channel), ``v4.channel.k8s.io`` (a
Status on the error channel), ``channel.k8s.io`` (plain text there), ``v4.base64.channel.k8s.io`` and
``base64.channel.k8s.io`` (the same in text messages: the channel as a digit, base64). ``SpdyRemoteCommand`` in
``spdy_remotecommand`` has the same methods.
"""

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

from apimachinery import codec
from apimachinery.types.meta_v1 import ListMeta, Status
from component_base.bounded_log import BoundedLog
from component_base.websocket import WebSocket

log = logging.getLogger(__name__)
client_log = BoundedLog(log)

V5, V4, V1, BASE64 = "v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"
V4_BASE64 = "v4.base64.channel.k8s.io"
SUBPROTOCOLS = (V5, V4, V4_BASE64, V1, BASE64)

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

_STDIN_AHEAD = 32
"""Messages of stdin that may wait for the command; beyond that the client has to wait."""


class TerminalSize(NamedTuple):
    """In characters, each at most 65,535 as in the kernel."""

    width: int
    height: int

    @classmethod
    def from_document(cls, document: Any) -> "TerminalSize":
        """Raises ValueError for anything but ``{"Width": 80, "Height": 24}``."""
        fields = codec.lower_names(document)
        size = cls(*(fields.get(name, 0) for name in ("width", "height")))
        if not all(type(length) is int and 0 <= length < 1 << 16 for length in size):
            raise ValueError("width and height must be numbers from 0 to 65535")
        return size


@dataclass(frozen=True)
class Streams:
    """Which streams the client requested. With ``tty`` there is no separate stderr."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class RemoteCommand:
    """One command's streams. Use as an async context manager; ``finish`` sends the command's result."""

    def __init__(self, socket: WebSocket, streams: Streams) -> None:
        self.streams = streams
        self._socket = socket
        self._text = socket.subprotocol in (BASE64, V4_BASE64)
        self._stdin: asyncio.Queue[bytes] = asyncio.Queue(_STDIN_AHEAD)  # an empty element is the end
        self._stdin_ended = not streams.stdin
        self._size: TerminalSize | None = None
        self._resized = asyncio.Event()
        self._gone = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def accept(cls, scope: Mapping[str, Any], streams: Streams) -> "RemoteCommand":
        """Take over a request. Raises what ``WebSocket.accept`` raises."""
        return cls(await WebSocket.accept(scope, SUBPROTOCOLS), streams)

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read(), name="remotecommand")
        # An empty message tells the client that the streams are open.
        first = STDOUT if self.streams.stdout else STDERR if self.streams.stderr else ERROR
        with suppress(ConnectionError):
            await self._send(first, b"")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._socket.close(1000 if error is None else 1011)
        finally:
            if self._reader is not None:
                self._reader.cancel()
                await asyncio.wait([self._reader])

    async def read_stdin(self) -> bytes:
        """The next bytes for the command; empty when the client has closed its stdin or is gone."""
        if self._stdin_ended:
            return b""
        data = await self._stdin.get()
        self._stdin_ended = not data
        return data

    async def write_stdout(self, data: bytes) -> None:
        """Raises ConnectionResetError when the client is gone."""
        await self._send(STDOUT, data)

    async def write_stderr(self, data: bytes) -> None:
        """Raises ConnectionResetError when the client is gone."""
        await self._send(STDERR, data)

    async def sizes(self) -> AsyncIterator[TerminalSize]:
        """Sizes of the client's terminal as they change; the last one counts. Ends with the client."""
        while True:
            await self._resized.wait()
            self._resized.clear()
            if self._gone.is_set():
                return
            if self._size is not None:
                yield self._size

    async def wait_gone(self) -> None:
        """Return when the client has closed the connection."""
        await self._gone.wait()

    async def finish(self, status: Status | None = None) -> None:
        """Send the command's result (None: success) and close."""
        status = status or Status(metadata=ListMeta(), status="Success")
        with suppress(ConnectionError):
            if self._socket.subprotocol in (V4, V5, V4_BASE64):
                await self._send(ERROR, codec.encode(status))
            elif status.status != "Success":
                await self._send(ERROR, (status.message or "").encode())
        await self._socket.close()

    async def _send(self, channel: int, data: bytes) -> None:
        if self._text:
            await self._socket.send(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send(bytes([channel]) + data)

    async def _read(self) -> None:
        """Dispatch the client's messages by channel until it is gone."""
        try:
            while (message := await self._socket.receive()) is not None:
                try:
                    channel, data = self._split(message)
                except ValueError as exc:
                    client_log.info("remotecommand: %s; ignored", exc)
                    continue
                if channel == STDIN and data:
                    await self._feed(data)
                elif channel == RESIZE:
                    self._resize(data)
                elif channel == CLOSE and data[:1] == bytes([STDIN]):
                    await self._feed(b"")
        finally:
            self._gone.set()
            self._resized.set()
            self._end_stdin()

    def _split(self, message: bytes | str) -> tuple[int, bytes]:
        """Channel and bytes. Raises ValueError for what is no message of this protocol."""
        if self._text:
            text = message if isinstance(message, str) else message.decode("ascii")
            try:
                return int(text[:1]), base64.b64decode(text[1:], validate=True)
            except binascii.Error as exc:
                raise ValueError(f"not base64: {exc}") from exc
        data = message.encode() if isinstance(message, str) else message
        if not data:
            raise ValueError("a message without a channel")
        if data[0] == CLOSE and self._socket.subprotocol != V5:
            raise ValueError("channels can be closed only in v5")
        return data[0], data[1:]

    async def _feed(self, data: bytes) -> None:
        if self.streams.stdin:
            await self._stdin.put(data)

    def _end_stdin(self) -> None:
        """Queue the end of stdin, in place of a message if the queue is full: the client is gone anyway."""
        if self._stdin.full():
            self._stdin.get_nowait()
        self._stdin.put_nowait(b"")

    def _resize(self, data: bytes) -> None:
        try:
            self._size = TerminalSize.from_document(json.loads(data))
        except (ValueError, RecursionError) as exc:
            client_log.info("remotecommand: not a terminal size: %s; ignored", exc)
            return
        self._resized.set()
