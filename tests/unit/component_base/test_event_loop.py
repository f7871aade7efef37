"""A connected socket that is handed to the loop has one owner, whatever becomes of the connection."""

import asyncio
import os
import socket
import struct
from collections.abc import Iterator

import pytest


@pytest.fixture
def reset() -> Iterator[socket.socket]:
    """A TCP connection that the peer has reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    connection.setblocking(False)
    with connection:
        yield connection


def assert_closed_by_the_loop(connection: socket.socket, number: int) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    assert connection.fileno() == -1, "the socket would close the number again"


async def test_a_handshake_on_a_connection_that_is_reset_leaves_nothing_to_the_socket(reset, authority) -> None:
    number, context = reset.fileno(), authority.client_context()
    loop = asyncio.get_running_loop()
    with pytest.raises(ConnectionResetError):
        await loop.create_connection(asyncio.Protocol, sock=reset, ssl=context, server_hostname="server")
    assert_closed_by_the_loop(reset, number)


async def test_nor_does_a_unix_connection_that_is_given_up() -> None:
    connection, peer = socket.socketpair()
    connection.setblocking(False)
    number = connection.fileno()
    with peer, connection:
        loop = asyncio.get_running_loop()
        connecting = asyncio.ensure_future(loop.create_unix_connection(asyncio.Protocol, sock=connection))
        await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled()
        assert_closed_by_the_loop(connection, number)
