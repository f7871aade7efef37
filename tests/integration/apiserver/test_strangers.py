"""Clients that show no identity open all that they can; those with one are served all the while."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest

from benchmarks import procfs
from component_base.open_files import raise_limit
from tests.integration.apiserver.objects import created, ok
from tests.integration.apiserver_process import TOKEN, ApiserverProcess

HALF_OPEN = 6000
HEADS = 400
LIST = "/api/v1/namespaces"
PATIENCE = 3.0
"""Seconds for a request on a new connection, while the machine also runs the attack."""
GROWTH = 200 * 2**20


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    raise_limit()
    opened: list[socket.socket] = []
    with ExitStack() as stack:
        stack.callback(lambda: [sock.close() for sock in opened])
        yield opened


def dial(server: ApiserverProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def open_half(server: ApiserverProcess, sockets: list[socket.socket]) -> None:
    """Connections whose TLS handshake has begun."""
    for _ in range(HALF_OPEN):
        sock = dial(server)
        sockets.append(sock)
        with suppress(OSError):
            sock.send(b"\x16\x03\x01\x02\x00\x01")


def send_heads(server: ApiserverProcess, sockets: list[socket.socket]) -> None:
    """Nearly a megabyte of a head on each of many connections."""
    context = server.ssl_context()
    for _ in range(HEADS):
        with suppress(OSError):
            sock = context.wrap_socket(dial(server), server_hostname="127.0.0.1")
            sockets.append(sock)
            sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 1_000_000)


@pytest.mark.parametrize("attack", [open_half, send_heads], ids=["half-open handshakes", "unfinished heads"])
async def test_clients_with_an_identity_are_served_while_strangers_hold_all_that_they_can(
    shared: ApiserverProcess, api: httpx.AsyncClient, sockets: list[socket.socket], attack
) -> None:
    ok(await api.get(LIST))
    before = procfs.memory([shared.pid]).rss
    attacking = asyncio.create_task(asyncio.to_thread(attack, shared, sockets))
    asked = 0
    while asked < 5 or not attacking.done():
        begun = time.monotonic()
        async with shared.http() as client:
            ok(await client.get(LIST))
        assert time.monotonic() - begun < PATIENCE
        ok(await api.get(LIST))
        asked += 1
    await attacking
    async with shared.http() as client:
        ok(await client.get(LIST))
    assert procfs.memory([shared.pid]).rss - before < GROWTH


async def test_a_watch_with_a_token_goes_on_whatever_strangers_do(
    shared: ApiserverProcess, api: httpx.AsyncClient, sockets: list[socket.socket]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shared.port, ssl=shared.ssl_context())
    writer.write(f"GET {LIST}?watch=1 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    await asyncio.to_thread(open_half, shared, sockets)
    created(await api.post(LIST, json={"metadata": {"name": "after-the-attack"}}))
    async with asyncio.timeout(10):
        seen = b""
        while b"after-the-attack" not in seen:
            seen = seen[-100:] + await reader.read(65536)  # the objects of other tests come first
    writer.transport.abort()
