"""How a worker's TCP connections come to their end, over real socket pairs; a sweep stands for a time."""

import socket
from _socket import socket as Socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from kube_proxy.dataplane.loop import Loop
from kube_proxy.dataplane.messages import BackendStats, Counters
from kube_proxy.dataplane.stream import HALF_CLOSED_PATIENCE, SWEEP, Connections


@dataclass
class Bench:
    """A client and a backend, joined, and driven by hand."""

    loop: Loop = field(default_factory=Loop)
    stats: BackendStats = field(default_factory=BackendStats)

    def __post_init__(self) -> None:
        self.connections = Connections(self.loop, Counters())
        self.client, near = _pair()
        self.backend, far = _pair()
        self.connections.establish(near, far, self.stats)

    def turn(self) -> None:
        for fd, events in self.loop.epoll.poll(0.2):
            if handler := self.loop.handlers.get(fd):
                handler(events)

    def quiet_for(self, seconds: float) -> None:
        for _ in range(int(seconds / SWEEP)):
            self.connections.sweep()


def _pair() -> tuple[socket.socket, Socket]:
    """A TCP connection over loopback; its second end is for ``Connections`` to own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    ours.settimeout(2)
    theirs = Socket(fileno=accepted.detach())
    theirs.setblocking(False)
    return ours, theirs


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    for side in [*bench.connections.clients]:
        bench.connections.close(side)
    bench.client.close()
    bench.backend.close()


def test_an_idle_connection_stays(bench: Bench) -> None:
    bench.quiet_for(10 * HALF_CLOSED_PATIENCE)
    assert len(bench.connections.clients) == bench.stats.open == 1


def test_a_connection_with_one_end_closed_ends_when_nothing_moves_for_long(bench: Bench) -> None:
    bench.client.shutdown(socket.SHUT_WR)
    bench.turn()
    bench.quiet_for(HALF_CLOSED_PATIENCE - 2 * SWEEP)
    assert bench.stats.open == 1
    bench.backend.send(b"still here")
    bench.turn()
    bench.quiet_for(HALF_CLOSED_PATIENCE - 2 * SWEEP)
    assert bench.stats.open == 1, "a byte begins the time anew"
    bench.quiet_for(3 * SWEEP)
    assert bench.stats.open == 0
    assert not bench.connections.clients
    assert not bench.loop.handlers


def test_both_ends_closed_leave_nothing(bench: Bench) -> None:
    bench.client.shutdown(socket.SHUT_WR)
    bench.turn()
    assert bench.backend.recv(10) == b""
    bench.backend.shutdown(socket.SHUT_WR)
    bench.turn()
    assert bench.client.recv(10) == b""
    assert not bench.connections.clients
    assert bench.stats.open == 0
