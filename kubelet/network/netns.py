"""Connections from within a pod's network namespace: what a process in the pod reaches as ``localhost``.

A socket always belongs to the namespace in which it was created, so only its creation needs a thread in that namespace.
"""

import asyncio
import ctypes
import os
import socket
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


async def connect_localhost(pid: int, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection to ``port`` on the loopback device of process ``pid``'s network namespace. Raises OSError."""
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, address in _LOOPBACKS:
        connection = await asyncio.to_thread(_socket_in, Path(f"/proc/{pid}/ns/net"), family)
        try:
            await loop.sock_connect(connection, (address, port))
            return await asyncio.open_connection(sock=connection)
        except OSError as exc:
            connection.close()
            failure = failure or exc
        except BaseException:
            connection.close()
            raise
    assert failure is not None, "every loopback address was tried"
    raise failure


def _socket_in(namespace: Path, family: int) -> socket.socket:
    """A socket of another network namespace. Blocks a little; this thread is back in its own afterwards."""
    with open("/proc/thread-self/ns/net") as home, namespace.open() as there:
        _enter(there.fileno())
        try:
            connection = socket.socket(family, socket.SOCK_STREAM)
        finally:
            _enter(home.fileno())
    connection.setblocking(False)
    return connection


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter the network namespace: {os.strerror(number)}")
