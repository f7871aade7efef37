"""One request relayed: its head changed as asked, its body and the answer's in pieces, an upgraded connection as bytes.

Nothing of a body is collected. What both sides of an upgraded connection agreed on (WebSocket, SPDY) is not inspected.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from apimachinery import errors
from apiserver.authentication.authenticators import subprotocols
from apiserver.handlers.http import Request
from apiserver.handlers.proxying.upstream import CHUNK, Answer, Upstream, dial, read_head, why
from component_base.streams import Stream, Upgrade

log = logging.getLogger(__name__)

Headers = Sequence[tuple[bytes, bytes]]

_HOP_BY_HOP: Final = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
        b"trailer", b"transfer-encoding", b"upgrade",
    )
)  # fmt: skip
_OURS: Final = frozenset((b"authorization", b"expect", b"content-length"))
"""Not passed on: the client's credentials, and headers that are written anew."""
_BODYLESS: Final = (204, 304)


class Filter(Protocol):
    """Changes a body as it passes."""

    def feed(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...


@dataclass(frozen=True)
class Changes:
    """What becomes of heads on their way. Everything is optional."""

    request: Callable[[list[tuple[bytes, bytes]]], list[tuple[bytes, bytes]]] = lambda headers: headers
    answer: Callable[[Answer], list[tuple[bytes, bytes]]] = lambda answer: answer.headers
    body: Callable[[Answer], Filter | None] = lambda answer: None


PLAIN: Final = Changes()


async def relay(request: Request, upstream: Upstream, target: bytes, changes: Changes = PLAIN) -> None:
    """Have ``target`` of ``upstream`` answer the request.

    Raises:
        ServiceUnavailable: nobody is there, or whoever is broke off before its answer. One that breaks off in the
            middle breaks off for the client too.
    """
    upgrade = _wanted(request)
    reader, writer = await dial(upstream)
    try:
        writer.write(_head(request, target, changes, upgrade))
        if upgrade is not None:
            answer = await read_head(reader)
            if answer.code == 101:
                stream = await upgrade.accept(answer.headers)
                await splice(stream, reader, writer, answer.rest)
                return
            await _exchange(request, writer, _answer(request, answer, reader, changes), b"")
        else:
            await _exchange(request, writer, _read_answer(request, reader, changes), _framing(request))
    except OSError as fault:
        if request.code:
            log.info("%s %s: %s: %s", request.method, request.path, upstream.what, fault)
            await request.break_off()
            return
        raise errors.ServiceUnavailable(f"error trying to reach {upstream.what}: {why(fault)}") from fault
    finally:
        writer.close()


def _wanted(request: Request) -> Upgrade | None:
    """The upgrade that the client asks for. An offer of HTTP/2 cannot be passed on."""
    upgrade: Upgrade | None = request.scope["extensions"].get("upgrade")
    return upgrade if upgrade is not None and upgrade.protocols != ("h2c",) else None


def _framing(request: Request) -> bytes:
    """The header that frames the request's body; empty if there is no body."""
    if b"chunked" in request.headers.get("transfer-encoding", "").lower().encode():
        return b"transfer-encoding: chunked"
    length = request.headers.get("content-length")
    return b"content-length: %b" % length.encode() if length else b""


def _head(request: Request, target: bytes, changes: Changes, upgrade: Upgrade | None) -> bytes:
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    forwarded = [(name, _without_token(name, value)) for name, value in _end_to_end(headers) if name not in _OURS]
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), target)]
    lines += [b"%b: %b" % header for header in changes.request(forwarded)]
    if upgrade is not None:
        lines += [b"connection: Upgrade", *(b"upgrade: %b" % protocol for protocol in _values(headers, b"upgrade"))]
    else:
        lines += [b"connection: close", *filter(None, (_framing(request),))]
    return b"\r\n".join((*lines, b"", b""))


def _end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Without hop-by-hop headers."""
    named = {part.strip().lower() for value in _values(headers, b"connection") for part in value.split(b",")}
    return [header for header in headers if header[0] not in _HOP_BY_HOP and header[0] not in named]


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for other, value in headers if other == name]


def _without_token(name: bytes, value: bytes) -> bytes:
    """A browser sends its token as one of the WebSocket's subprotocols."""
    if name != b"sec-websocket-protocol":
        return value
    return ", ".join(subprotocols(value.decode("latin-1"))).encode("latin-1")


async def _exchange(request: Request, writer: asyncio.StreamWriter, answering: object, framing: bytes) -> None:
    """The request's body up while the answer comes down; ends with the answer, or when the client disconnects."""
    answered: asyncio.Task[None] = asyncio.ensure_future(answering)  # type: ignore[call-overload]
    client = asyncio.create_task(_send_body(request, writer, framing), name="proxy-request")
    try:
        await asyncio.wait((answered, client), return_when=asyncio.FIRST_COMPLETED)
        if answered.done():
            answered.result()
        elif client.exception() is not None:
            await answered  # the body could not be sent; there may be an answer that says why
    finally:
        for task in (answered, client):
            task.cancel()
        await asyncio.gather(answered, client, return_exceptions=True)


async def _send_body(request: Request, writer: asyncio.StreamWriter, framing: bytes) -> None:
    """Send the client's body on; returns when the client disconnects, or the server stops."""
    chunked, ended = framing.startswith(b"transfer-encoding"), not framing
    stopping = asyncio.ensure_future(request.scope["state"]["stopping"].wait())
    try:
        while True:
            coming = asyncio.ensure_future(request.receive())
            await asyncio.wait((coming, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                return
            message = coming.result()
            if message["type"] == "http.disconnect":
                return
            if ended:
                continue
            if data := message.get("body", b""):
                writer.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            if not message.get("more_body"):
                ended = True
                writer.write(b"0\r\n\r\n" if chunked else b"")
            await writer.drain()
    finally:
        stopping.cancel()


async def _read_answer(request: Request, reader: asyncio.StreamReader, changes: Changes) -> None:
    await _answer(request, await read_head(reader), reader, changes)


async def _answer(request: Request, answer: Answer, reader: asyncio.StreamReader, changes: Changes) -> None:
    """Pass an answer on as it comes. Raises ConnectionResetError if it is cut short."""
    change = None if request.method == "HEAD" else changes.body(answer)
    left_out = {b"content-length"} if change is not None or answer.code in _BODYLESS else set()
    headers = [header for header in _end_to_end(changes.answer(answer)) if header[0] not in left_out]
    if not _values(headers, b"cache-control"):
        headers.append((b"cache-control", b"no-cache, private"))
    await request.start_relayed(answer.code, headers)
    if request.method == "HEAD" or answer.code in _BODYLESS:
        await request.chunk(b"", more=False)
        return
    while True:
        if data := answer.taken():
            await request.chunk(change.feed(data) if change is not None else data)
        if answer.done:
            break
        if not (data := await reader.read(CHUNK)):
            if answer.ends_with_connection:
                break
            raise ConnectionResetError("the connection was closed in the middle of an answer")
        answer.feed(data)
    await request.chunk(change.end() if change is not None else b"", more=False)


async def splice(stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes) -> None:
    """Bytes both ways until one side is done."""

    async def up() -> None:
        while data := await stream.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def down() -> None:
        stream.write(first)
        while data := await reader.read(CHUNK):
            stream.write(data)
            await stream.drain()

    tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        stream.close()
