"""uvicorn's HTTP protocol with what it lacks: the client's certificate, upgraded connections, and limits.

An application finds in ``scope["extensions"]``:
- ``tls``: ``{"client_certificate": ClientCertificate | None}`` on a TLS connection, read once per connection;
- ``upgrade``: an ``Upgrade`` where the request asks for one (WebSocket, SPDY/3.1 alike);
- ``connection``: a ``Connection``, for answers with so many writes that a coroutine for each is too slow.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, HttpToolsProtocol

from component_base.client_certificates import client_certificate
from component_base.streams import Headers, Stream

MAX_HEAD = 1024 * 1024
"""Bytes of request line and headers, as in Go's net/http; as many may frame a body, in chunk extensions and trailers."""

MAX_HEADERS = 2000
"""Headers of a request. A megabyte of the shortest ones would take fifty when parsed."""

HEAD_TIMEOUT = 32.0
"""Seconds that a client may take to send a head, as in the apiserver, or what is left of a request that is answered."""

MAX_UNREAD = 4 * 1024 * 1024
"""Bytes of a request that are still taken, and dropped, after its answer: more than any body that the API accepts, so
that an honest client has sent all and sees the answer. Then the connection is cut."""

MAX_UNSENT = 128 * 1024
"""Bytes of an answer that wait in a connection before its application has to. By default they would be four times that,
for each of the thousands of connections that clients may open and not read from."""

_HOST = re.compile(rb"[A-Za-z0-9!$%&()*+,\-.:;=\[\]'_~]*\Z")
"""What may be a host and its port, as golang.org/x/net/http/httpguts has it."""

_JOINED = 64 * 1024
"""Bytes of a body up to which copying it is cheaper than a separate TLS record."""

_MAX_EARLY = 64 * 1024
"""Bytes that a client may send on an upgraded connection before the application has accepted it."""


class _HeldHead:
    """The transport of one answer: its head waits for a body that follows in the same turn of the loop.

    Most answers then take one TLS record instead of two; a head without a body is sent alone.
    """

    def __init__(self, cycle: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._cycle, self._transport, self._loop = cycle, cycle.transport, loop
        self._held = b""
        self._is_first = True

    def write(self, data: bytes) -> None:
        if self._is_first:
            self._is_first = False
            self._held = data
            self._loop.call_soon(self._flush)
            return
        self._step_aside()
        if self._held and len(data) <= _JOINED:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._flush()
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        self._step_aside()
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def _step_aside(self) -> None:
        """Let later writes go straight to the transport."""
        self._cycle.transport = self._transport


class Connection:
    """Direct access to the socket, for a streamed answer whose head has been sent.

    Data must be framed already (chunked encoding). Writes here and ASGI's ``send`` keep the order of the calls.
    """

    __slots__ = ("_ended", "_on_end", "_protocol")

    def __init__(self, protocol: "HttpProtocol") -> None:
        self._protocol = protocol
        self._on_end: Callable[[], None] | None = None
        self._ended = False

    @property
    def writable(self) -> bool:
        """Whether the write buffer has room; if not, ``send`` waits until it has."""
        return not self._protocol.flow.write_paused

    def write(self, framed: bytes) -> None:
        """Send bytes; ignored once the connection is closed."""
        if not self._protocol.transport.is_closing():
            self._protocol.transport.write(framed)

    def at_end(self, call: Callable[[], None] | None) -> None:
        """What is called when the client is gone or the server begins to stop; at once if that is so already.

        For those with thousands of streams: a task that awaits ``receive`` takes a kilobyte for each.
        """
        self._on_end = call
        if self._ended:
            self.end()

    def end(self) -> None:
        """For the protocol: there will be no further request."""
        self._ended = True
        if self._on_end is not None:
            self._on_end()

    def abort(self) -> None:
        """Close in the middle of an answer, which tells the client that it is incomplete."""
        self._protocol.transport.abort()


class _HostChecked(HttpToolsProtocol):
    """Refuses what Go's net/http refuses: a request that names no host, or several, or none that can be one."""

    fault = ""
    """What is wrong with the head, for the answer."""

    def on_headers_complete(self) -> None:
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) != 1 or not _HOST.match(hosts[0]):
            self._check_host(hosts)
        super().on_headers_complete()

    def _check_host(self, hosts: list[bytes]) -> None:
        """Raises ValueError, which ends the parser."""
        if len(hosts) > 1:
            self.fault = "400 Bad Request: too many Host headers"
        elif hosts:
            self.fault = "400 Bad Request: malformed Host header"
        elif self.parser.get_http_version() != "1.0":
            self.fault = "400 Bad Request: missing required Host header"
        if self.fault:
            raise ValueError(self.fault)


class HttpProtocol(_HostChecked):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=MAX_UNSENT)
        self._connection = Connection(self)
        self._extensions: dict[str, Any] = {"connection": self._connection}
        if self.scheme == "https":
            certificate = client_certificate(transport.get_extra_info("ssl_object"))
            self._extensions["tls"] = {"client_certificate": certificate}
        self._in_head = True
        self._in_body = False  # or in its trailers
        self._waits_since = self.loop.time()  # for the rest of a head, or of a request that is answered
        self._framing = 0  # bytes that came without any of a body among them
        self._unread = 0  # bytes that came after the answer
        self._body_came = False
        self._early: bytearray | None = None  # bytes after an upgrade request, until it is accepted
        self._body_left = 0  # bytes of that request's own body among them

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._early is not None:
            self._keep_early(data)
            return
        if self.parser is None:
            return
        self._body_came = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self._early = bytearray()
            self._keep_early(data[exc.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response(self.fault or "Invalid HTTP request received.")
        else:
            if self._in_head or self._in_body:
                self._bound(len(data))

    def _bound(self, size: int) -> None:
        """Close a connection whose request is not complete after ``size`` more bytes, if it has had enough of them."""
        if not self._body_came:
            self._framing += size
        if self._framing > MAX_HEAD or len(self.headers or ()) > MAX_HEADERS:
            self._refuse()
        elif self._in_body and self.cycle.response_complete:
            self._unread += size
            if self._unread > MAX_UNREAD:
                self._cut()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connection.end()
        # What refers to this object and is referred to by it would stay until the next full garbage collection.
        self._extensions = {}
        self.scope = self.headers = self.cycle = self._connection = None  # type: ignore[assignment]

    def shutdown(self) -> None:
        super().shutdown()
        self._connection.end()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions.copy()
        self._in_head = True
        self._waits_since = self.loop.time()
        self._framing = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head and len(self.headers) <= MAX_HEADERS:  # trailers are dropped, as nothing here asks for any
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._body_came, self._framing = True, 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body, self._unread = False, True, 0
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            self.cycle.transport = _HeldHead(self.cycle, self.loop)  # type: ignore[assignment]
            return
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        self._body_left = int(length)  # the parser has checked that it is a number
        upgrade = _ProtocolUpgrade(self, _offered(self.headers))
        if upgrade.protocols:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions["upgrade"] = upgrade
        super().on_headers_complete()
        # The parser cannot be used for another request on this connection.
        self.cycle.keep_alive = False
        upgrade.cycle = self.cycle

    def on_message_complete(self) -> None:
        if not self._body_left:
            self._in_body = False
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._waits_since = self.loop.time()
        super().on_response_complete()

    def overdue(self, now: float) -> bool:
        """Whether the client has not finished its head in time, or a request that was answered meanwhile."""
        waits = self._in_head or (self._in_body and self.cycle is not None and self.cycle.response_complete)
        return waits and now - self._waits_since > HEAD_TIMEOUT

    def take_over(self) -> Stream:
        """Hand the connection to a stream; HTTP is over."""
        stream = Stream(self.transport, bytes(self._early or b""))
        connections: set[Any] = self.connections
        connections.discard(self)
        connections.add(stream)
        stream.on_lost = lambda: connections.discard(stream)
        self.transport.set_protocol(stream)
        if self.flow.write_paused:
            stream.pause_writing()
        self.flow.resume_reading()
        self.parser = None  # type: ignore[assignment]  # as uvicorn does when a connection is lost
        return stream

    def _keep_early(self, data: bytes) -> None:
        assert self._early is not None
        if self._body_left and data:
            # To the parser, a request that offers an upgrade ends with its head. Clients that offer HTTP/2 (h2c)
            # nevertheless send a body, as with an ordinary request.
            body, data = data[: self._body_left], data[self._body_left :]
            self._body_left -= len(body)
            self.on_body(body)
            self.on_message_complete()
        self._early += data
        if len(self._early) > _MAX_EARLY:
            self.flow.pause_reading()

    def _refuse(self) -> None:
        if self._in_body and self.cycle.response_started:
            self._cut()
            return
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        )
        self.transport.close()
        self.parser = None  # type: ignore[assignment]  # nothing more is read

    def _cut(self) -> None:
        self.transport.abort()
        self.parser = None  # type: ignore[assignment]


def _offered(headers: list[tuple[bytes, bytes]]) -> tuple[str, ...]:
    values = b",".join(value for name, value in headers if name == b"upgrade").decode("latin-1")
    return tuple(part.strip().lower() for part in values.split(",") if part.strip())


class _ProtocolUpgrade:
    """``Upgrade`` over one connection of this protocol."""

    def __init__(self, protocol: HttpProtocol, protocols: tuple[str, ...]) -> None:
        self.protocols = protocols
        self.cycle: Any = None
        self._protocol = protocol

    async def accept(self, headers: Headers) -> Stream:
        cycle = self.cycle
        if cycle.response_started:
            raise RuntimeError("the request has been answered already")
        if cycle.disconnected or self._protocol.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        # For uvicorn the response is complete.
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        stream = self._protocol.take_over()
        stream.write(_switching_protocols(headers))
        if task := asyncio.current_task():
            task.add_done_callback(lambda _: stream.close())
        return stream


def _switching_protocols(headers: Headers) -> bytes:
    lines = [b"HTTP/1.1 101 Switching Protocols\r\n"]
    for name, value in headers:
        if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
            raise ValueError(f"not a header: {name!r}")
        lines.append(name + b": " + value + b"\r\n")
    return b"".join([*lines, b"\r\n"])
