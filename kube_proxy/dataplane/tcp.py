"""TCP service ports in a worker: accepting their clients.

Promises: a slow or dead backend delays nobody but its own client (see ``dial``); running out of descriptors pauses
accepting and never spins or crashes.
"""

from __future__ import annotations

import errno
import time
from _socket import socket as Socket
from collections.abc import Sequence
from select import EPOLLEXCLUSIVE, EPOLLIN
from socket import AF_INET, SOCK_STREAM

from kube_proxy.dataplane.balancer import Balancer
from kube_proxy.dataplane.dial import Dial, Dials, Port, new_socket
from kube_proxy.dataplane.guard import Gate
from kube_proxy.dataplane.loop import Loop
from kube_proxy.dataplane.messages import Backend, Counters, PortSettings, PortStats
from kube_proxy.dataplane.stream import SWEEP, Connections

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
ACCEPT_PAUSE = 0.2
"""Seconds without accepting after the process ran out of descriptors or memory."""


class Forwarder:
    """All TCP ports of a worker."""

    def __init__(self, loop: Loop, counters: Counters, gate: Gate) -> None:
        self.loop = loop
        self.counters = counters
        self.gate = gate
        self.listeners: dict[int, Listener] = {}
        self.connections = Connections(loop, counters)
        self.dials = Dials(loop, counters, self.connections, self.pause)
        self.spare: Socket | None = None
        """For the next client's backend."""
        self._paused_until = 0.0
        self._next_sweep = 0.0

    def serve(self, name: str, settings: PortSettings, fd: int, stats: PortStats) -> Balancer:
        """Prepare a port; its first table of backends opens it, so that nobody is refused before they are known."""
        self.stop(stats.port)
        listener = Listener(self, name, Socket(AF_INET, SOCK_STREAM, 0, fd), settings, stats)
        self.listeners[stats.port] = listener
        return listener.port.balancer

    def set_backends(self, port: int, backends: Sequence[Backend]) -> None:
        if listener := self.listeners.get(port):
            listener.port.balancer.replace(backends)
            listener.informed = True
            if not backends:
                # The parent has the kernel refuse clients now; the socket would report nothing but its hang-up.
                listener.pause()
            elif not self._paused_until:
                listener.resume()

    def stop(self, port: int) -> None:
        if listener := self.listeners.pop(port, None):
            listener.close()

    def pause(self, exc: OSError) -> None:
        """Out of descriptors or memory: new clients wait in the kernel's queue for a moment."""
        count = len(self.connections.clients)
        self.dials.complaints.log("accept", "out of resources (%s) with %d connections open; pausing", exc, count)
        self._paused_until = time.monotonic() + ACCEPT_PAUSE
        for listener in self.listeners.values():
            listener.pause()

    def tick(self, now: float) -> None:
        self.dials.expire(now)
        if self._paused_until and now >= self._paused_until:
            self._paused_until = 0.0
            for listener in self.listeners.values():
                listener.resume()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP
            self.connections.sweep()
            for listener in self.listeners.values():
                listener.port.balancer.forget_expired(now)

    def wake_within(self) -> float:
        if self.dials.waiting or self._paused_until:
            return 0.05
        return SWEEP if self.connections.clients else -1.0


class Listener:
    """One service port. The descriptor is shared with the other workers and the parent."""

    def __init__(self, forwarder: Forwarder, name: str, sock: Socket, settings: PortSettings, stats: PortStats) -> None:
        self.forwarder = forwarder
        balancer = Balancer(settings.affinity_seconds, gate=forwarder.gate, protocol="TCP")
        self.port = Port(name, balancer, stats, settings.proxy_protocol)
        self._sock = sock
        self._accept = sock._accept  # type: ignore[attr-defined]  # what socket.accept wraps, half a dozen us slower
        self._fd = sock.fileno()
        self.informed = False

    def resume(self) -> None:
        if self.informed and self.port.balancer.backends and self._fd not in self.forwarder.loop.handlers:
            self.forwarder.loop.register(self._fd, EPOLLIN | EPOLLEXCLUSIVE, self._on_ready)

    def pause(self) -> None:
        self.forwarder.loop.unregister(self._fd)

    def close(self) -> None:
        self.pause()
        self._sock.close()

    def _on_ready(self, events: int) -> None:
        forwarder = self.forwarder
        try:
            # First the socket towards the backend: without one, accepting would be in vain.
            backend = forwarder.spare or new_socket()
            forwarder.spare = backend
            fd, address = self._accept()
        except BlockingIOError:
            return
        except OSError as exc:
            if exc.errno in EXHAUSTED:
                forwarder.pause(exc)
            return
        forwarder.spare = None
        # The kernel wakes the first waiter of the queue: going to its end after each connection shares them out.
        epoll = forwarder.loop.epoll
        epoll.unregister(self._fd)
        epoll.register(self._fd, EPOLLIN | EPOLLEXCLUSIVE)
        forwarder.counters.accepted += 1
        Dial(forwarder.dials, self.port, Socket(AF_INET, SOCK_STREAM, 0, fd), address).next_backend(backend)
