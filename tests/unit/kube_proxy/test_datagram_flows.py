"""A worker's UDP flows over real loopback sockets; time is a parameter."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from kube_proxy.dataplane import udp
from kube_proxy.dataplane.guard import Gate
from kube_proxy.dataplane.loop import Loop
from kube_proxy.dataplane.messages import Counters, PortSettings, PortStats
from kube_proxy.dataplane.udp import DatagramForwarder


@dataclass
class Bench:
    """One UDP service port with one backend, driven by hand."""

    backend: socket.socket
    loop: Loop = field(default_factory=Loop)
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        self.forwarder = DatagramForwarder(self.loop, self.counters, Gate())
        service = socket.socket(type=socket.SOCK_DGRAM)
        service.bind(("127.0.0.1", 0))
        self.address = service.getsockname()
        self.forwarder.serve("ns/a", PortSettings(), service.detach(), PortStats(1))
        self.forwarder.set_backends(1, [self.backend.getsockname()])

    def turn(self) -> None:
        for fd, events in self.loop.epoll.poll(0.5):
            self.loop.handlers[fd](events)

    def client(self) -> socket.socket:
        sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.settimeout(2)
        sock.connect(self.address)
        return sock

    def ask(self, client: socket.socket, data: bytes = b"x") -> None:
        client.send(data)
        self.turn()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with socket.socket(type=socket.SOCK_DGRAM) as backend:
        backend.bind(("127.0.0.1", 0))
        backend.settimeout(2)
        bench = Bench(backend)
        yield bench
        bench.forwarder.stop(1)
        assert not bench.forwarder.flows


def test_the_largest_datagram_passes_whole(bench: Bench) -> None:
    largest = bytes(range(256)) * 255 + b"x" * 227
    assert len(largest) == 65507, "what IPv4 allows"
    with bench.client() as client:
        bench.ask(client, largest)
        data, flow = bench.backend.recvfrom(65536)
        assert data == largest
        bench.backend.sendto(largest, flow)
        bench.turn()
        assert client.recv(65536) == largest


def test_an_idle_flow_ends_and_one_in_use_stays(bench: Bench) -> None:
    with bench.client() as idle, bench.client() as busy:
        bench.ask(idle)
        bench.ask(busy)
        now = time.monotonic()
        first, second = bench.forwarder.flows.values()
        first.last_used, second.last_used = now, now + 30
        bench.forwarder.tick(now + udp.IDLE - 1)
        assert [*bench.forwarder.flows.values()] == [first, second]
        bench.forwarder.tick(now + udp.IDLE + udp.SWEEP)
        assert [*bench.forwarder.flows.values()] == [second]


def test_an_answer_keeps_a_flow(bench: Bench) -> None:
    with bench.client() as client:
        bench.ask(client)
        (flow,) = bench.forwarder.flows.values()
        flow.last_used -= udp.IDLE + 1
        _, address = bench.backend.recvfrom(10)
        bench.backend.sendto(b"y", address)
        bench.turn()
        bench.forwarder.tick(time.monotonic())
        assert [*bench.forwarder.flows.values()] == [flow]


def test_the_oldest_flow_makes_room_for_a_new_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "MAX_FLOWS", 3)
    clients = [bench.client() for _ in range(5)]
    for client in clients[:3]:
        bench.ask(client)
    bench.ask(clients[0])  # used again: no longer the oldest
    for client in clients[3:]:
        bench.ask(client)
    ports = [key[2] for key in bench.forwarder.flows]
    assert ports == [clients[n].getsockname()[1] for n in (0, 3, 4)]
    for client in clients:
        client.close()
