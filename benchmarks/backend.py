"""A backend that costs next to nothing: ``python -m benchmarks.backend --listen HOST:PORT``.

One thread with epoll answers each request with two bytes; ``GET /bulk/N`` is answered with N bytes from a thread
of its own, which blocks. Start one behind a peer's service to measure that with ``--service``.
"""

import argparse
import select
import socket
import threading
from contextlib import suppress
from enum import Enum, auto

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LAST_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_END = b"\r\n\r\n"
_BULK = b"GET /bulk/"
_PIECE = memoryview(b"x" * 1024 * 1024)
"""What bulk answers are made of. It stays in the CPU's cache, which makes a plain send cheaper than sendfile."""


def serve(listener: socket.socket) -> None:
    """Answer for ever."""
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    listening, open_now = listener.fileno(), dict[int, socket.socket]()
    while True:
        for number, _ in poll.poll():
            if number == listening:
                for connection in _accept(listener):
                    open_now[connection.fileno()] = connection
                    poll.register(connection, select.EPOLLIN)
            elif (answered := _answer(open_now[number])) is not Then.STAY:
                poll.unregister(number)
                connection = open_now.pop(number)
                if isinstance(answered, int):
                    threading.Thread(target=_send_bulk, args=(connection, answered), daemon=True).start()
                else:
                    connection.close()


class Then(Enum):
    """What becomes of a connection after an answer; a number is how many bytes of bulk are still to be sent."""

    STAY = auto()
    CLOSE = auto()


def _accept(listener: socket.socket) -> list[socket.socket]:
    connections = []
    with suppress(BlockingIOError):
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connections.append(connection)
    return connections


def _answer(connection: socket.socket) -> Then | int:
    try:
        data = connection.recv(65536)
        if data.startswith(_BULK):
            return int(data[len(_BULK) :].split(b" ", 1)[0])
        if b"close" in data:
            # with the answer held back until the close, the end travels in the same segment
            connection.send(_LAST_ANSWER, socket.MSG_MORE)
            return Then.CLOSE
        if count := data.count(_END):
            connection.send(_ANSWER * count)
    except BlockingIOError:
        return Then.STAY
    except (OSError, ValueError):
        return Then.CLOSE
    return Then.STAY if data else Then.CLOSE


def _send_bulk(connection: socket.socket, size: int) -> None:
    with connection, suppress(OSError):
        connection.setblocking(True)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        left = size
        while left > 0:
            left -= connection.send(_PIECE[:left])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backend", description=__doc__)
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    host, _, port = parser.parse_args().listen.rpartition(":")
    listener = socket.create_server((host, int(port)), backlog=4096)
    listener.setblocking(False)
    serve(listener)


if __name__ == "__main__":
    main()
