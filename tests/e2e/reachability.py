"""Which pod reaches which: servers and probes in the network namespaces of real pods, all in this process.

A socket stays in the namespace in which it was made, so a thread enters a pod's only to make its sockets. A probe is a
request that the server answers; what is not answered in time has not arrived.
"""

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.kube_proxy.lab import entered

PORTS = (("TCP", 80), ("TCP", 81), ("UDP", 80))
ANSWER_WITHIN = 0.7
"""Seconds: everything is on this machine."""

Attempt = tuple[str, str, str, int]
"""Client, server, protocol, port."""


@dataclass(frozen=True)
class Peer:
    name: str
    network: Path
    """Its namespace."""
    address: str
    service: str = ""
    """The cluster IP of the service that has it as its endpoint."""


def _socket(network: Path, protocol: str) -> socket.socket:
    with entered(network):
        made = socket.socket(type=socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


@contextmanager
def serving(peers: Iterable[Peer]) -> Iterator[None]:
    """Each peer answers at every port until the block ends."""
    waiting, ended = selectors.DefaultSelector(), threading.Event()
    for peer in peers:
        for protocol, port in PORTS:
            sock = _socket(peer.network, protocol)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("0.0.0.0", port))
            if protocol == "TCP":
                sock.listen(128)
            waiting.register(sock, selectors.EVENT_READ, _accept if protocol == "TCP" else _answer_datagram)

    def serve() -> None:
        while not ended.is_set():
            for key, _ in waiting.select(0.1):
                key.data(waiting, key.fileobj)

    thread = threading.Thread(target=serve, name="servers of pods")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for key in [*waiting.get_map().values()]:
            key.fileobj.close()  # type: ignore[union-attr]
        waiting.close()


def _accept(waiting: selectors.BaseSelector, sock: socket.socket) -> None:
    connection, _ = sock.accept()
    connection.setblocking(False)
    waiting.register(connection, selectors.EVENT_READ, _answer_stream)


def _answer_stream(waiting: selectors.BaseSelector, sock: socket.socket) -> None:
    try:
        request = sock.recv(64)
        if request:
            sock.send(b"!")
            return
    except OSError:
        pass
    waiting.unregister(sock)
    sock.close()


def _answer_datagram(waiting: selectors.BaseSelector, sock: socket.socket) -> None:
    try:
        _, client = sock.recvfrom(64)
        sock.sendto(b"!", client)
    except OSError:
        pass


def reached(attempts: Iterable[Attempt], peers: dict[str, Peer], *, through_services: bool) -> set[Attempt]:
    """Those of the attempts that were answered; all are made at once."""
    waiting, answered = selectors.DefaultSelector(), set[Attempt]()
    with waiting:
        for attempt in attempts:
            client, server, protocol, port = attempt
            address = peers[server].service if through_services else peers[server].address
            sock = _socket(peers[client].network, protocol)
            try:
                sock.connect((address, port))
                waiting.register(sock, selectors.EVENT_WRITE, attempt)
            except BlockingIOError:
                waiting.register(sock, selectors.EVENT_WRITE, attempt)
            except OSError:
                sock.close()
        deadline = time.monotonic() + ANSWER_WITHIN
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, events in waiting.select(left):
                _proceed(waiting, key, events, answered)
        for key in [*waiting.get_map().values()]:
            key.fileobj.close()  # type: ignore[union-attr]
    return answered


def _proceed(waiting: selectors.BaseSelector, key: selectors.SelectorKey, events: int, answered: set[Attempt]) -> None:
    sock = key.fileobj
    assert isinstance(sock, socket.socket)
    try:
        if events & selectors.EVENT_WRITE:
            sock.send(b"?")
            waiting.modify(sock, selectors.EVENT_READ, key.data)
            return
        if sock.recv(8) == b"!":
            answered.add(key.data)
    except BlockingIOError:
        return
    except OSError:
        pass
    waiting.unregister(sock)
    sock.close()


Truth = Callable[[str, str, str, int], bool]
"""Whether client, server, protocol and port should work."""


def table(attempts: Iterable[Attempt], truth: Truth) -> set[Attempt]:
    return {attempt for attempt in attempts if truth(*attempt)}


def difference(expected: set[Attempt], actual: set[Attempt]) -> str:
    """What a failure reports."""
    blocked, open_ = sorted(expected - actual), sorted(actual - expected)
    return f"{len(blocked)} blocked that should be open: {blocked[:8]}; {len(open_)} open that should be blocked: {open_[:8]}"
