"""SPDY/3.1 frames as Kubernetes' clients speak them: bytes to frames and back, without I/O.

Header blocks are compressed with one zlib context per direction for the whole connection, so every frame with headers
must pass through the same ``FrameReader`` and ``FrameWriter``, in order. There are no flow control windows: those
clients neither keep nor announce any, and the connection itself has back-pressure.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN, UNIDIRECTIONAL = 0x01, 0x02
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL, INTERNAL_ERROR = 1, 2, 3, 5, 6
"""Statuses of RST_STREAM."""

MAX_CONTROL = 256 * 1024
"""Bytes of one control frame, and of its headers unpacked."""

_VERSION: Final = 3
_CONTROL: Final = 0x8000
_WORDS: Final = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TEXT: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug "
    "Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch"
    "charset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    words = [word.replace("_", " ").encode() for word in _WORDS.split()]
    return b"".join(len(word).to_bytes(4, "big") + word for word in words) + _TEXT.encode()


DICTIONARY: Final = _dictionary()
"""The protocol's initial dictionary of both sides' compressors."""


class SpdyError(Exception):
    """The peer broke the protocol: the connection is unusable."""


@dataclass(frozen=True)
class Data:
    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True)
class Control:
    """A control frame. ``value`` is the status of RST_STREAM, the ID of PING; ``headers`` have lower-case names."""

    kind: int
    stream: int = 0
    fin: bool = False
    value: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


Frame = Data | Control


class FrameReader:
    """Turns received bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now. Raises ``SpdyError``."""
        self._buffer += data
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">LL", self._buffer)
            length = second & 0xFFFFFF
            control = first >> 16 & _CONTROL
            if control and length > MAX_CONTROL:
                raise SpdyError(f"a control frame of {length} bytes")
            if len(self._buffer) < 8 + length:
                return
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if control:
                if first >> 16 & 0x7FFF != _VERSION:
                    raise SpdyError(f"version {first >> 16 & 0x7FFF} instead of {_VERSION}")
                yield self._control(first & 0xFFFF, second >> 24, body)
            else:
                yield Data(first & 0x7FFFFFFF, body, bool(second >> 24 & FIN))

    def _control(self, kind: int, flags: int, body: bytes) -> Control:
        fin = bool(flags & FIN)
        try:
            if kind == SYN_STREAM:
                return Control(kind, _id(body), fin, headers=self._headers(body[10:]))
            if kind in (SYN_REPLY, HEADERS):
                return Control(kind, _id(body), fin, headers=self._headers(body[4:]))
            if kind in (RST_STREAM, WINDOW_UPDATE):
                return Control(kind, _id(body), fin, struct.unpack_from(">L", body, 4)[0])
            if kind in (PING, GOAWAY):
                return Control(kind, 0, fin, struct.unpack_from(">L", body)[0])
        except struct.error as exc:
            raise SpdyError(f"control frame {kind} is too short") from exc
        return Control(kind)

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, MAX_CONTROL)
        except zlib.error as exc:
            raise SpdyError(f"headers cannot be unpacked: {exc}") from exc
        if self._inflate.unconsumed_tail:
            raise SpdyError("headers are too large")
        at, headers = 4, dict[str, str]()
        for _ in range(struct.unpack_from(">L", plain)[0]):
            name, at = _text(plain, at)
            value, at = _text(plain, at)
            headers[name.lower()] = value
        return headers


class FrameWriter:
    """Turns frames into bytes."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        return struct.pack(">LL", stream, (FIN if fin else 0) << 24 | len(data)) + data

    def syn_stream(self, stream: int, headers: Mapping[str, str]) -> bytes:
        return _frame(SYN_STREAM, struct.pack(">LLH", stream, 0, 0) + self._pack(headers))

    def syn_reply(self, stream: int, headers: Mapping[str, str]) -> bytes:
        return _frame(SYN_REPLY, struct.pack(">L", stream) + self._pack(headers))

    def rst_stream(self, stream: int, status: int) -> bytes:
        return _frame(RST_STREAM, struct.pack(">LL", stream, status))

    def ping(self, number: int) -> bytes:
        return _frame(PING, struct.pack(">L", number))

    def goaway(self, last_stream: int) -> bytes:
        return _frame(GOAWAY, struct.pack(">LL", last_stream, 0))

    def _pack(self, headers: Mapping[str, str]) -> bytes:
        parts = [struct.pack(">L", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode("latin-1"), value.encode("latin-1")):
                parts.append(struct.pack(">L", len(text)) + text)
        return self._deflate.compress(b"".join(parts)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _frame(kind: int, body: bytes) -> bytes:
    return struct.pack(">HHL", _CONTROL | _VERSION, kind, len(body)) + body


def _id(body: bytes) -> int:
    number: int = struct.unpack_from(">L", body)[0]
    return number & 0x7FFFFFFF


def _text(plain: bytes, at: int) -> tuple[str, int]:
    length = struct.unpack_from(">L", plain, at)[0]
    end = at + 4 + length
    if end > len(plain):
        raise SpdyError("a header is cut off")
    return plain[at + 4 : end].decode("latin-1"), end
