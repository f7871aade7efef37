"""UDP service ports in a worker: one flow per client, each with a socket of its own towards its backend.

Promises: datagrams of any size pass whole; answers leave from the address that the client's datagram came to (else a
client on the node itself, or the kernel's address translation, does not know them again); a flow ends after
``IDLE`` seconds without a datagram, when its backend is gone or refuses, and the oldest when there are too many.
"""

from __future__ import annotations

import errno
import logging
import struct
import time
from _socket import socket as Socket
from collections import OrderedDict
from collections.abc import Sequence
from select import EPOLLIN
from socket import AF_INET, IPPROTO_IP, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK

from kube_proxy.dataplane.balancer import Balancer
from kube_proxy.dataplane.guard import Gate
from kube_proxy.dataplane.loop import Loop
from kube_proxy.dataplane.messages import Backend, BackendStats, Counters, PortSettings, PortStats

log = logging.getLogger(__name__)

IDLE = 60.0
MAX_FLOWS = 8192
"""Per worker; each takes a descriptor."""
LARGEST = 65536
BATCH = 32
"""Datagrams taken from one socket before the others have their turn."""
SWEEP = 5.0

IP_PKTINFO = 8
_PKTINFO = struct.Struct("=i4s4s")  # interface, local address to answer from, address in the header

FlowKey = tuple[int, str, int, bytes]
"""Service port, client's address and port, the node's address that it talks to."""


class DatagramForwarder:
    """What all UDP ports of a worker share."""

    def __init__(self, loop: Loop, counters: Counters, gate: Gate) -> None:
        self.loop = loop
        self.counters = counters
        self._gate = gate
        self.ports: dict[int, DatagramPort] = {}
        self.flows: OrderedDict[FlowKey, Flow] = OrderedDict()
        self._next_sweep = 0.0

    def serve(self, name: str, settings: PortSettings, fd: int, stats: PortStats) -> Balancer:
        """Prepare a port; its first table of backends opens it."""
        self.stop(stats.port)
        sock = Socket(AF_INET, SOCK_DGRAM, 0, fd)
        sock.setsockopt(IPPROTO_IP, IP_PKTINFO, 1)
        balancer = Balancer(settings.affinity_seconds, gate=self._gate, protocol="UDP")
        served = DatagramPort(self, name, sock, balancer, stats)
        self.ports[stats.port] = served
        return served.balancer

    def set_backends(self, port: int, backends: Sequence[Backend]) -> None:
        if served := self.ports.get(port):
            served.set_backends(backends)
            for flow in [flow for flow in self.flows.values() if flow.port is served]:
                if flow.backend not in backends:
                    flow.close()

    def stop(self, port: int) -> None:
        if served := self.ports.pop(port, None):
            for flow in [flow for flow in self.flows.values() if flow.port is served]:
                flow.close()
            served.close()

    def flow(self, key: FlowKey, port: DatagramPort) -> Flow | None:
        """The client's flow, a new one if it has none; None when there is no backend for it now."""
        flow = self.flows.get(key)
        if flow is not None:
            self.flows.move_to_end(key)
            flow.last_used = time.monotonic()
            return flow
        while len(self.flows) >= MAX_FLOWS:
            next(iter(self.flows.values())).close()
        backend = port.balancer.pick(key[1], time.monotonic())
        if backend is None:
            if port.balancer.backends:
                self.counters.denied += 1
            else:
                self.counters.refused += 1
                port.stats.refused += 1
            return None
        stats = port.stats.of(backend)
        try:
            sock = Socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
            sock.connect(backend)
        except OSError as exc:
            log.debug("%s: %s:%d: %s", port.name, *backend, exc)
            self.counters.failed += 1
            port.stats.unreachable += 1
            return None
        stats.connections += 1
        stats.open += 1
        flow = self.flows[key] = Flow(self, key, port, backend, sock, stats)
        self.loop.register(sock.fileno(), EPOLLIN, flow.on_ready)
        return flow

    def tick(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP
        while self.flows:
            oldest = next(iter(self.flows.values()))
            if now - oldest.last_used < IDLE:
                break
            oldest.close()
        for port in self.ports.values():
            port.balancer.forget_expired(now)

    def wake_within(self) -> float:
        return SWEEP if self.flows else -1.0


class DatagramPort:
    def __init__(
        self, forwarder: DatagramForwarder, name: str, sock: Socket, balancer: Balancer, stats: PortStats
    ) -> None:
        self.forwarder = forwarder
        self.name = name
        self.balancer = balancer
        self.stats = stats
        self._sock = sock
        self._informed = False

    def set_backends(self, backends: Sequence[Backend]) -> None:
        self.balancer.replace(backends)
        if not self._informed:
            self._informed = True
            self.forwarder.loop.register(self._sock.fileno(), EPOLLIN, self._on_ready)

    def answer(self, data: bytes, flow: Flow) -> None:
        """Send to the flow's client, from the address that it asked."""
        _, address, port, local = flow.key
        info = (IPPROTO_IP, IP_PKTINFO, _PKTINFO.pack(0, local, b"\0\0\0\0"))
        try:
            self._sock.sendmsg([data], [info], MSG_DONTWAIT, (address, port))
        except OSError as exc:  # as on the wire, a datagram that cannot be sent now is lost
            log.debug("%s: answer to %s:%d: %s", self.name, address, port, exc)
            return
        self.forwarder.counters.datagrams_to_clients += 1

    def close(self) -> None:
        self.forwarder.loop.unregister(self._sock.fileno())
        self._sock.close()

    def _on_ready(self, events: int) -> None:
        for _ in range(BATCH):
            try:
                data, ancillary, _, (address, port) = self._sock.recvmsg(LARGEST, 64, MSG_DONTWAIT)
            except OSError:  # nothing left, or an error that belongs to an earlier answer
                return
            local = next(
                (body[4:8] for level, kind, body in ancillary if (level, kind) == (IPPROTO_IP, IP_PKTINFO)), None
            )
            if local is not None and (flow := self.forwarder.flow((self.stats.port, address, port, local), self)):
                flow.send(data)


class Flow:
    __slots__ = ("_forwarder", "_sock", "backend", "key", "last_used", "port", "stats")

    def __init__(
        self,
        forwarder: DatagramForwarder,
        key: FlowKey,
        port: DatagramPort,
        backend: Backend,
        sock: Socket,
        stats: BackendStats,
    ) -> None:
        self._forwarder = forwarder
        self._sock = sock
        self.key = key
        self.port = port
        self.backend = backend
        self.stats = stats
        self.last_used = time.monotonic()

    def send(self, data: bytes) -> None:
        try:
            self._sock.send(data, MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as exc:
            self._refused(exc)
            return
        self._forwarder.counters.datagrams_to_backends += 1
        self.stats.bytes_to_backend += len(data)

    def on_ready(self, events: int) -> None:
        for _ in range(BATCH):
            try:
                data = self._sock.recv(LARGEST, MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as exc:
                self._refused(exc)
                return
            self.last_used = time.monotonic()
            self._forwarder.flows.move_to_end(self.key)
            self.stats.bytes_to_client += len(data)
            self.port.answer(data, self)

    def close(self) -> None:
        if self._forwarder.flows.pop(self.key, None) is not None:
            self._forwarder.loop.handlers.pop(self._sock.fileno(), None)
            self._sock.close()
            self.stats.open -= 1

    def _refused(self, exc: OSError) -> None:
        """Choose another backend for the client's next datagram."""
        log.debug("%s: %s:%d: %s", self.port.name, *self.backend, errno.errorcode.get(exc.errno or 0, exc))
        self._forwarder.counters.dial_errors += 1
        self.stats.errors += 1
        self.port.balancer.failed(self.key[1], self.backend)
        self.close()
