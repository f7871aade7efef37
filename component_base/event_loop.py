"""The event loop of every daemon: uvloop, made safe for sockets that were connected before.

aiohttp, and whatever connects from within another network namespace, hand a connected socket to the loop. If the peer
resets the connection at the wrong moment, uvloop has closed the descriptor and then leaves it to the socket object, too,
whose end closes the number a second time. By then it may be another connection's: that one gets EBADF or never hears of
its data again, later ones get "File descriptor N is used by transport", and at last libuv aborts the process.
"""

import socket
from collections.abc import Awaitable
from typing import Any, TypeVar

import uvloop

ConnectionT = TypeVar("ConnectionT")


class Loop(uvloop.Loop):
    async def create_connection(self, *args: Any, sock: socket.socket | None = None, **options: Any) -> Any:
        return await _hand_over(sock, super().create_connection(*args, sock=sock, **options))

    async def create_unix_connection(self, *args: Any, sock: socket.socket | None = None, **options: Any) -> Any:
        return await _hand_over(sock, super().create_unix_connection(*args, sock=sock, **options))

    async def connect_accepted_socket(self, protocol_factory: Any, sock: socket.socket, **options: Any) -> Any:
        return await _hand_over(sock, super().connect_accepted_socket(protocol_factory, sock, **options))


async def _hand_over(sock: socket.socket | None, connecting: Awaitable[ConnectionT]) -> ConnectionT:
    """Where no connection comes of it, the loop alone closes the descriptor."""
    try:
        return await connecting
    except BaseException:
        if sock is not None:
            sock.detach()
        raise
