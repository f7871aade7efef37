"""``grpc.health.v1.Health/Check`` without the gRPC library: one unary call is a handful of HTTP/2 frames.

The library would cost every node 15 MB of memory for this one message. The headers of the response are not read:
only a DATA frame with ``status: SERVING`` means that the service is healthy.
"""

import asyncio
import struct
from contextlib import suppress

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _END_HEADERS, _ACK, _PADDED = 0x1, 0x4, 0x1, 0x8
_PATH = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"

MAX_ANSWER = 64 * 1024
"""Bytes of all frames that are read for an answer, which takes about a hundred."""


class NoResponse(Exception):
    """The peer responded, but not to the call."""


async def check(host: str, port: int, service: str) -> bool:
    """Whether the service reports that it is serving. Raises OSError, ``NoResponse``; the caller sets the timeout."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request(f"{host}:{port}", service))
        await writer.drain()
        return await _answer(reader, writer)
    except asyncio.IncompleteReadError as exc:
        raise NoResponse("the connection was closed") from exc
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def request(authority: str, service: str) -> bytes:
    """All frames that the client sends."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    headers = b"\x83\x86" + b"".join(  # indexed: :method POST, :scheme http
        _literal(name, value)
        for name, value in (
            (":path", _PATH),
            (":authority", authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "kube-probe"),
        )
    )
    body = struct.pack(">BL", 0, len(message)) + message
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, headers)
        + _frame(_DATA, _END_STREAM, 1, body)
    )


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    message, left = b"", MAX_ANSWER
    while True:
        head = await reader.readexactly(9)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        left -= len(head) + length
        if left < 0:
            raise NoResponse(f"the answer is longer than {MAX_ANSWER} bytes")
        payload = await reader.readexactly(length)
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _DATA:
            message += payload[1 : length - payload[0]] if flags & _PADDED else payload
        elif kind in (_RST, _GOAWAY):
            raise NoResponse("the call was refused")
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            return message[5:].startswith(_SERVING)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literal(name: str, value: str) -> bytes:
    """A header field without indexing and without Huffman coding (RFC 7541, 6.2.2)."""
    return b"\x00" + _string(name) + _string(value)


def _string(text: str) -> bytes:
    data = text.encode()
    if len(data) < 127:
        return bytes([len(data)]) + data
    return b"\x7f" + _varint(len(data) - 127) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
