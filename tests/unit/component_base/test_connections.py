"""Strangers cannot use up a server: real sockets on loopback, and the arithmetic of slots by itself."""

import asyncio
import gc
import os
import resource
import socket
import ssl
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from component_base import http_protocol, listener
from component_base.access import Guarded
from component_base.connections import Limits, Slots
from component_base.open_files import raise_limit
from component_base.serving import TLS, Server

LOCAL = [("127.0.0.1", 0)]
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
PART_OF_A_HEAD = b"GET / HTTP/1.1\r\nhost: a\r\nx: "


async def app(scope, receive, send) -> None:
    """Answers "ok"; the header ``token`` is an identity."""
    if any(name == b"token" for name, _ in scope["headers"]):
        scope["extensions"]["connection"].identify()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Cut:
    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str):
        return lambda: self.names.append(name)


class TestSlots:
    def test_of_one_source_the_oldest_stranger_makes_room_for_the_next(self) -> None:
        slots, cut = Slots(Limits(100, 10, 2)), Cut()
        for name, source in [("other", "10.0.0.2"), ("a", "10.0.0.1"), ("b", "10.0.0.1"), ("c", "10.0.0.1")]:
            assert slots.take(source, cut(name))
        assert cut.names == ["a"]

    def test_of_all_strangers_the_oldest_makes_room(self) -> None:
        slots, cut = Slots(Limits(100, 3, 2)), Cut()
        for i in range(5):
            assert slots.take(f"10.0.0.{i}", cut(str(i)))
        assert cut.names == ["0", "1"]

    def test_one_with_an_identity_is_not_cut_and_takes_no_strangers_slot(self) -> None:
        slots, cut = Slots(Limits(100, 3, 2)), Cut()
        for i in range(10):
            slots.take("10.0.0.1", cut(str(i))).identify()
        assert not cut.names

    def test_where_all_have_an_identity_the_next_connection_is_refused(self) -> None:
        slots, cut = Slots(Limits(3, 2, 2)), Cut()
        known = [slots.take("10.0.0.1", cut(f"known {i}")) for i in range(2)]
        for slot in known:
            slot.identify()
        assert slots.take("10.0.0.8", cut("stranger"))
        third = slots.take("10.0.0.9", cut("third"))
        assert cut.names == ["stranger"]
        third.identify()
        assert slots.take("10.0.0.9", cut("fourth")) is None
        known[0].leave()
        known[0].leave()
        assert slots.take("10.0.0.8", cut("fifth"))
        assert slots.take("10.0.0.9", cut("sixth"))
        assert cut.names == ["stranger", "fifth"]

    @pytest.mark.parametrize(
        ("first", "second", "is_same"),
        [
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
            ("::1", "::2", True),
            ("fe80::1%eth0", "fe80::2", True),
            ("::ffff:10.0.0.1", "10.0.0.1", True),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ],
    )
    def test_a_source_is_an_address_or_an_ipv6_network(self, first: str, second: str, is_same: bool) -> None:
        slots, cut = Slots(Limits(100, 10, 1)), Cut()
        slots.take(first, cut("first"))
        slots.take(second, cut("second"))
        assert cut.names == (["first"] if is_same else [])

    def test_whoever_takes_most_memory_is_cut_when_it_is_too_much(self) -> None:
        slots, cut = Slots(Limits(100, 10, 10, head_memory=100)), Cut()
        small, large, third = (slots.take("10.0.0.1", cut(name)) for name in ("small", "large", "third"))
        small.hold(20)
        large.hold(70)
        third.hold(20)
        assert cut.names == ["large"]
        third.hold(75)
        assert cut.names == ["large"]
        small.identify()
        small.hold(1000)
        assert cut.names == ["large"]


def dial(server: Server, source: str = "127.0.0.1") -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port), source_address=(source, 0))
    sock.setblocking(False)
    return sock


async def ended(sock: socket.socket) -> bool:
    with suppress(ConnectionError):
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1000), 10) == b""
    return True


@asynccontextmanager
async def closing(sockets: list[socket.socket]):
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


async def flood(server: Server, count: int, start: bytes) -> list[socket.socket]:
    """So many connections from one address, each of which begins something that it never ends."""
    sockets = []
    for i in range(count):
        sock = dial(server)
        sockets.append(sock)
        with suppress(OSError):
            sock.send(start)
        if i % 50 == 0:
            await asyncio.sleep(0)
    return sockets


class Client:
    """Asks on one connection, time and again."""

    def __init__(self, server: Server, context: ssl.SSLContext | None, head: bytes = REQUEST) -> None:
        self._server, self._context, self._head = server, context, head

    async def __aenter__(self) -> "Client":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._server.port, ssl=self._context)
        return self

    async def __aexit__(self, *_) -> None:
        self._writer.transport.abort()

    async def ask(self) -> bool:
        self._writer.write(self._head)
        return (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\nok"), 10)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("start", [b"", b"\x16\x03\x01"], ids=["silent", "in a handshake"])
async def test_thousands_of_half_open_connections_hold_nobody_up(start: bytes, tls: TLS, authority) -> None:
    raise_limit()
    context = authority.client_context(authority.issue("admin", "admin"))
    async with Server(app, LOCAL, tls=tls) as server, Client(server, context) as known:
        assert await known.ask()
        before = resident()
        async with closing(await flood(server, 4000, start)) as sockets:
            assert await known.ask()
            for _ in range(3):
                begin = time.monotonic()
                async with Client(server, context) as new:
                    assert await new.ask()
                assert time.monotonic() - begin < 2
            assert await ended(sockets[0])  # the oldest of them made room
            assert resident() - before < 150_000_000
            assert await known.ask()


async def test_a_client_that_shows_a_token_is_no_stranger_any_more() -> None:
    async with (
        Server(app, LOCAL, limits=Limits(100, 8, 2)) as server,
        Client(server, None, REQUEST[:-2] + b"token: x\r\n\r\n") as known,
        Client(server, None) as stranger,
    ):
        assert await known.ask()
        assert await stranger.ask()
        async with closing(await flood(server, 6, b"")):
            assert await known.ask()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await stranger.ask()


async def test_strangers_of_one_address_do_not_push_out_those_of_another() -> None:
    async with Server(app, LOCAL, limits=Limits(100, 8, 2)) as server:
        other = dial(server, "127.0.0.2")
        async with closing([other, *await flood(server, 20, b"")]):
            async with Client(server, None) as last:  # by its answer, all others have been accepted
                assert await last.ask()
            other.send(REQUEST)
            assert (await asyncio.get_running_loop().sock_recv(other, 1000)).startswith(b"HTTP/1.1 200")


async def test_a_handshake_that_does_not_end_is_cut(tls: TLS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_TIMEOUT", 0.2)
    async with Server(app, LOCAL, tls=tls) as server, closing([dial(server)]) as (sock,):
        assert await ended(sock)


async def test_unfinished_heads_share_a_bounded_memory() -> None:
    limits = Limits(1000, 400, 400, head_memory=8_000_000)
    async with Server(app, LOCAL, limits=limits) as server:
        gc.collect()
        before = resident()
        async with closing(await flood(server, 300, PART_OF_A_HEAD)) as sockets:
            for _ in range(8):
                for sock in sockets:
                    with suppress(OSError):
                        sock.send(b"y" * 60_000)
                await asyncio.sleep(0.01)
            async with Client(server, None) as client:
                assert await client.ask()
            assert resident() - before < 60_000_000  # of 144 MB


async def test_a_large_head_of_a_stranger_is_not_kept_after_its_answer() -> None:
    async with Server(app, LOCAL) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(PART_OF_A_HEAD + b"y" * 100_000 + b"\r\n\r\n")
        assert b"connection: close" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == b"ok"
        writer.close()


async def test_a_stranger_may_not_send_hundreds_of_requests_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server(app, LOCAL) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(REQUEST * http_protocol.MAX_PIPELINED)
        for _ in range(http_protocol.MAX_PIPELINED):
            await reader.readuntil(b"\r\n\r\nok")
        writer.write(REQUEST * 1000)
        with suppress(ConnectionError):
            assert (await reader.read()).count(b"200 OK") < 1000
        writer.close()


async def test_a_process_without_descriptors_accepts_again_when_it_has_some() -> None:
    async with Server(app, LOCAL) as server:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        sock = socket.socket()  # has its descriptor already
        sock.settimeout(5)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, limits[1]))
            sock.connect(("127.0.0.1", server.port))
            await asyncio.sleep(0.05)  # in which it cannot be accepted
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        async with closing([sock]):
            sock.sendall(REQUEST)
            sock.setblocking(False)
            reply = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1000), 10)
            assert reply.startswith(b"HTTP/1.1 200")


async def test_whoever_an_endpoint_lets_in_by_a_token_is_no_stranger_any_more() -> None:
    class ByToken:
        async def check(self, method, path, headers, certificate) -> bool:
            return "token" in headers

    async def plain(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with (
        Server(Guarded(plain, ByToken()), LOCAL, limits=Limits(100, 8, 2)) as server,
        Client(server, None, REQUEST[:-2] + b"token: x\r\n\r\n") as known,
    ):
        assert await known.ask()
        async with closing(await flood(server, 6, b"")):
            assert await known.ask()
