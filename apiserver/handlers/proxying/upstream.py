"""The server behind a proxied request: its address, a connection to it, and its answer as it arrives.

HTTP/1.1 on plain asyncio streams, one connection per request: what is relayed is read and written in pieces, never
collected, and a side that does not keep up slows the other down.
"""

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Final

import httptools

from apimachinery import errors
from component_base.client_certificates import common_name_of

DIAL_SECONDS: Final = 10.0
CHUNK: Final = 64 * 1024

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    """None for plain HTTP."""
    what: str
    """Its name in messages."""
    server_name: str = ""
    """The name or address that its certificate must be for, where ``tls`` verifies one; by default ``host``."""
    common_name: str = ""
    """Whom its certificate must name besides; "" for anybody."""
    otherwise: "Upstream | None" = None
    """How it is reached if its certificate is not as it must be; None: not at all."""

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def why(fault: OSError) -> str:
    """What became of a connection, in the operating system's words."""
    if isinstance(fault, ssl.SSLError):
        return "TLS handshake failure"
    if isinstance(fault, socket.gaierror):
        return "no such host"
    if fault.errno:
        return os.strerror(fault.errno).lower()
    return str(fault) if isinstance(fault, ConnectionResetError) else "the connection failed"


async def dial(upstream: Upstream) -> Link:
    """A connection over which nothing has been sent yet. Raises ServiceUnavailable."""
    name = (upstream.server_name or upstream.host) if upstream.tls is not None else None
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            link = await asyncio.open_connection(
                upstream.host, upstream.port, ssl=upstream.tls, server_hostname=name, limit=CHUNK
            )
    except TimeoutError as fault:
        raise _unreachable(upstream, "i/o timeout") from fault
    except OSError as fault:
        if isinstance(fault, ssl.SSLCertVerificationError) and upstream.otherwise is not None:
            return await dial(upstream.otherwise)
        raise _unreachable(upstream, why(fault)) from fault
    if upstream.common_name:
        named = common_name_of(link[1].get_extra_info("ssl_object").getpeercert())
        if named != upstream.common_name:
            link[1].transport.abort()
            if upstream.otherwise is not None:
                return await dial(upstream.otherwise)
            raise _unreachable(upstream, f"its certificate is not that of {upstream.common_name}")
    return link


def _unreachable(upstream: Upstream, reason: str) -> errors.ServiceUnavailable:
    return errors.ServiceUnavailable(f"error trying to reach {upstream.what} at {upstream.authority}: {reason}")


class Answer:
    """An answer as httptools' parser reports it: its head, and the part of its body that has arrived and not been taken."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.rest = b""
        """The bytes after the head of an answer that switches protocols."""
        self.code = 0
        self.head_done = False
        self.done = False
        self._body: list[bytes] = []
        self._parser: Any = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.code = self._parser.get_status_code()
        self.head_done = not self.is_interim

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        self.done = self.head_done

    @property
    def is_interim(self) -> bool:
        """Whether another answer follows: 100 Continue, 103 Early Hints."""
        return 100 <= self.code < 200 and self.code != 101

    @property
    def ends_with_connection(self) -> bool:
        """Whether the body ends with the connection."""
        names = {name for name, _ in self.headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    def header(self, name: bytes) -> bytes:
        return next((value for other, value in self.headers if other == name), b"")

    def feed(self, data: bytes) -> None:
        """Raises ConnectionResetError if it is not HTTP."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as fault:
            raise ConnectionResetError("the answer is not HTTP") from fault

    def taken(self) -> bytes:
        """The bytes of the body that have arrived."""
        data, self._body = b"".join(self._body), []
        return data


async def read_head(reader: asyncio.StreamReader) -> Answer:
    """Raises ConnectionResetError if there is none."""
    answer = Answer()
    while not answer.head_done:
        data = await reader.read(CHUNK)
        if not data:
            raise ConnectionResetError("the connection was closed before an answer")
        answer.feed(data)
    return answer
