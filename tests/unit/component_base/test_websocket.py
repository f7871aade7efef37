"""A foreign client (aiohttp's) and raw frames against our side of RFC 6455."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest

from component_base import websocket
from component_base.serving import Server
from component_base.websocket import HandshakeError, WebSocket, negotiate

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
)


async def app(scope, receive, send) -> None:
    try:
        socket = await WebSocket.accept(scope, ["b.example", "a.example"], max_message=100_000)
    except HandshakeError as exc:
        headers = [(b"content-length", b"0"), *exc.headers]
        await send({"type": "http.response.start", "status": exc.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    async with socket:
        while (message := await socket.receive()) is not None:
            if message == "close":
                return
            await socket.send(message)


@asynccontextmanager
async def served():
    async with Server(app, [("127.0.0.1", 0)]) as server, aiohttp.ClientSession() as session:
        yield server, session, f"http://127.0.0.1:{server.port}/"


@asynccontextmanager
async def raw():
    async with Server(app, [("127.0.0.1", 0)]) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(HANDSHAKE)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455's own example
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


def frame(opcode: int, payload: bytes = b"", fin: bool = True) -> bytes:
    """A client's frame with a mask of zeros."""
    assert len(payload) < 126
    return bytes([opcode | (0x80 if fin else 0), 0x80 | len(payload)]) + b"\0\0\0\0" + payload


async def test_messages_come_back() -> None:
    async with served() as (_, session, url), session.ws_connect(url) as socket:
        await socket.send_bytes(b"\x00\xff" * 40_000)
        assert await socket.receive_bytes() == b"\x00\xff" * 40_000
        await socket.send_str("größe")
        assert await socket.receive_str() == "größe"


async def test_fragments_are_joined_and_pings_between_them_answered() -> None:
    async with raw() as (reader, writer):
        writer.write(frame(2, b"one ", fin=False) + frame(9, b"hi") + frame(0, b"two"))
        assert await reader.readexactly(4) == b"\x8a\x02hi"
        assert await reader.readexactly(9) == b"\x82\x07one two"


async def test_the_client_closes() -> None:
    async with served() as (_, session, url), session.ws_connect(url) as socket:
        assert await socket.close(code=1000)
        assert socket.close_code == 1000


async def test_we_close_and_wait_for_the_answer() -> None:
    async with raw() as (reader, writer):
        writer.write(frame(1, b"close"))
        assert (await reader.readexactly(4)) == b"\x88\x02\x03\xe8"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        writer.write(frame(8, b"\x03\xe8"))
        assert await asyncio.wait_for(reader.read(), 1) == b""


async def test_a_peer_that_does_not_answer_our_close_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "_CLOSE_TIMEOUT", 0.05)
    async with raw() as (reader, writer):
        writer.write(frame(1, b"close"))
        assert (await asyncio.wait_for(reader.read(), 1)).startswith(b"\x88")


async def test_a_broken_frame_closes_with_1002() -> None:
    async with raw() as (reader, writer):
        writer.write(frame(3))  # an undefined opcode
        data = await asyncio.wait_for(reader.read(), 1)
        assert data[:1] == b"\x88"
        assert int.from_bytes(data[2:4]) == 1002


async def test_a_message_too_large_closes_with_1009() -> None:
    async with served() as (_, session, url), session.ws_connect(url) as socket:
        await socket.send_bytes(b"x" * 100_001)
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1009


@pytest.mark.parametrize(
    ("offer", "chosen"), [(["a.example", "b.example"], "a.example"), (["x", "b.example"], "b.example"), ([], None)]
)
async def test_the_clients_first_choice_that_is_ours_wins(offer: list[str], chosen: str | None) -> None:
    async with served() as (_, session, url), session.ws_connect(url, protocols=offer) as socket:
        assert socket.protocol == chosen


async def test_a_client_with_foreign_subprotocols_alone_is_refused() -> None:
    async with served() as (_, session, url):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url, protocols=["x"])
        assert refused.value.status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"upgrade": "websocket", "connection": "Upgrade"}, 400),
        ({"upgrade": "h2c", "connection": "Upgrade"}, 400),
        (
            {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": "a", "sec-websocket-version": "8"},
            426,
        ),
    ],
)
async def test_a_request_that_is_no_handshake_gets_an_answer(headers: dict[str, str], status: int) -> None:
    async with served() as (_, session, url), session.get(url, headers=headers) as response:
        assert response.status == status


def test_negotiation() -> None:
    assert negotiate("", ["a"]) == ""
    assert negotiate("x, a", ["a"]) == "a"
    with pytest.raises(HandshakeError):
        negotiate("x", ["a"])
