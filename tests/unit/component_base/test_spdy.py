"""SPDY frames, and a connection over a pair of sockets with a client written from the frames."""

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component_base import spdy_frames
from component_base.spdy import SpdyConnection, SpdyStream
from component_base.spdy_frames import Control, Data, FrameReader, FrameWriter, SpdyError
from component_base.streams import Stream


def test_the_dictionary_is_the_protocol_s() -> None:
    # RFC 1950's DICTID, the same in the header blocks of every SPDY/3 implementation.
    assert zlib.adler32(spdy_frames.DICTIONARY) == 0xE3C6A7C2


HEADERS = {"streamtype": "data", "port": "8080", "requestid": "0"}


def test_what_go_writes_is_read() -> None:
    packer = zlib.compressobj(9, zdict=spdy_frames.DICTIONARY)
    block = b"\0\0\0\x01" + b"\0\0\0\x0aStreamType" + b"\0\0\0\x05error"
    packed = packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)
    frame = b"\x80\x03\0\x01" + b"\0" + (10 + len(packed)).to_bytes(3, "big") + b"\0\0\0\x01" + b"\0" * 6 + packed
    assert [*FrameReader().feed(frame)] == [Control(spdy_frames.SYN_STREAM, 1, headers={"streamtype": "error"})]


@given(st.lists(st.integers(1, 40), min_size=1), st.dictionaries(st.text("abc-", min_size=1), st.text("xyz 1")))
def test_frames_come_out_as_they_went_in_however_they_are_cut(cuts: list[int], headers: dict[str, str]) -> None:
    writer, reader = FrameWriter(), FrameReader()
    wire = b"".join(
        (
            writer.syn_stream(1, HEADERS),
            writer.syn_stream(3, headers),
            writer.data(1, b"hello", fin=True),
            writer.rst_stream(3, spdy_frames.CANCEL),
            writer.syn_reply(5, headers),
            writer.ping(7),
        )
    )
    frames, at, i = [], 0, 0
    while at < len(wire):
        step = cuts[i % len(cuts)]
        frames += reader.feed(wire[at : at + step])
        at, i = at + step, i + 1
    assert frames == [
        Control(spdy_frames.SYN_STREAM, 1, headers=HEADERS),
        Control(spdy_frames.SYN_STREAM, 3, headers=headers),
        Data(1, b"hello", True),
        Control(spdy_frames.RST_STREAM, 3, value=spdy_frames.CANCEL),
        Control(spdy_frames.SYN_REPLY, 5, headers=headers),
        Control(spdy_frames.PING, value=7),
    ]


@pytest.mark.parametrize(
    "wire",
    [
        b"\x80\x02\0\x06\0\0\0\x04\0\0\0\x01",
        b"\x80\x03\0\x01\0\xff\xff\xff",
        b"\x80\x03\0\x06\0\0\0\x01\0",
        b"\x80\x03\0\x02\0\0\0\x08\0\0\0\x01junk",
    ],
)
def test_nonsense_is_refused(wire: bytes) -> None:
    with pytest.raises(SpdyError):
        list(FrameReader().feed(wire))


class Client:
    """The other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.encode, self._decode = FrameWriter(), FrameReader()
        self._frames: list[spdy_frames.Frame] = []

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def frame(self) -> spdy_frames.Frame:
        while not self._frames:
            data = await self.reader.read(65536)
            assert data, "the server closed"
            self._frames += self._decode.feed(data)
        return self._frames.pop(0)

    async def data(self, stream: int) -> bytes:
        """All that comes on a stream until its end."""
        got = b""
        while True:
            frame = await self.frame()
            if isinstance(frame, Data) and frame.stream == stream:
                got += frame.data
                if frame.fin:
                    return got


@pytest.fixture
async def both() -> AsyncIterator[tuple[Client, SpdyConnection]]:
    server_end, client_end = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=server_end)
    stream = Stream(transport)
    transport.set_protocol(stream)
    reader, writer = await asyncio.open_connection(sock=client_end)
    async with SpdyConnection(stream) as connection:
        yield Client(reader, writer), connection
        writer.close()


async def opened(connection: SpdyConnection) -> SpdyStream:
    return await anext(connection.streams())


async def test_streams_carry_bytes_both_ways_and_half_close(both: tuple[Client, SpdyConnection]) -> None:
    client, connection = both
    client.send(client.encode.syn_stream(1, HEADERS), client.encode.data(1, b"question", fin=True))
    stream = await opened(connection)
    assert stream.headers == HEADERS
    assert (await stream.read(), await stream.read()) == (b"question", b"")
    await stream.write(b"answer" * 20_000)
    await stream.close_write()
    assert await client.data(1) == b"answer" * 20_000


async def test_pings_are_answered(both: tuple[Client, SpdyConnection]) -> None:
    client, _ = both
    client.send(client.encode.ping(9))
    assert await client.frame() == Control(spdy_frames.PING, value=9)


async def test_a_reset_stream_ends_and_the_others_go_on(both: tuple[Client, SpdyConnection]) -> None:
    client, connection = both
    client.send(client.encode.syn_stream(1, {}), client.encode.syn_stream(3, {}), client.encode.rst_stream(1, 5))
    first, second = await opened(connection), await opened(connection)
    assert await first.read() == b""
    with pytest.raises(ConnectionResetError):
        await first.write(b"x")
    await second.write(b"here")
    await second.close_write()
    assert await client.data(3) == b"here"


async def test_a_stream_that_nobody_reads_holds_the_sender_up(both: tuple[Client, SpdyConnection]) -> None:
    client, connection = both
    client.send(client.encode.syn_stream(1, {}))
    stream = await opened(connection)
    sent, total = 0, 16 * 1024 * 1024
    chunk = b"x" * 65536

    async def flood() -> None:
        nonlocal sent
        while sent < total:
            client.send(client.encode.data(1, chunk))
            sent += len(chunk)
            await client.writer.drain()
        client.send(client.encode.data(1, b"", fin=True))

    flooding = asyncio.create_task(flood())
    await asyncio.wait([flooding], timeout=0.5)
    assert sent < total / 2
    got = 0
    while data := await stream.read():
        got += len(data)
    await flooding
    assert got == total


async def test_a_client_that_leaves_ends_everything(both: tuple[Client, SpdyConnection]) -> None:
    client, connection = both
    client.send(client.encode.syn_stream(1, {}))
    stream = await opened(connection)
    client.writer.close()
    assert await stream.read() == b""
    with pytest.raises(ConnectionResetError):
        await stream.receive()
    await connection.wait_gone()
    assert [stream async for stream in connection.streams()] == []
