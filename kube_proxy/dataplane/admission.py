"""Have the kernel refuse the clients of a socket at once, and take them again, while the port stays ours.

What is done to the parent's descriptor holds for the workers' too: it is one socket.
"""

import contextlib
import ctypes
import socket

BACKLOG = 4096

_libc = ctypes.CDLL(None, use_errno=True)
_NO_PEER = b"\0" * 16  # a struct sockaddr of family AF_UNSPEC
_NOBODY = ("127.0.0.1", 9)


def refuse(sock: socket.socket) -> None:
    """Clients get a reset (TCP) or "port unreachable" (UDP) from the kernel; those that wait in its queue too."""
    if sock.type == socket.SOCK_STREAM:
        with contextlib.suppress(OSError):  # not listening: so it refuses
            sock.shutdown(socket.SHUT_RD)
    else:
        sock.connect(_NOBODY)  # takes datagrams from nobody else, so for all others nobody is there


def admit(sock: socket.socket) -> None:
    """Take clients again."""
    if sock.type == socket.SOCK_STREAM:
        sock.listen(BACKLOG)
    elif _libc.connect(sock.fileno(), _NO_PEER, len(_NO_PEER)):
        raise OSError(ctypes.get_errno(), "connect to AF_UNSPEC")
