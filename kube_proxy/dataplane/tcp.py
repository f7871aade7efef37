"""TCP service ports in a worker: accepting, and keeping book of open connections.

Promises: a slow or dead backend delays nobody but its own client (see ``dial``); running out of descriptors pauses
accepting and never spins or crashes.
"""

from __future__ import annotations

import errno
import logging
import time
from _socket import socket as Socket
from collections.abc import Sequence
from select import EPOLLEXCLUSIVE, EPOLLIN
from socket import (
    AF_INET,
    IPPROTO_TCP,
    SO_KEEPALIVE,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
)

from kube_proxy.dataplane.balancer import Balancer
from kube_proxy.dataplane.dial import Dial, new_socket
from kube_proxy.dataplane.loop import Loop
from kube_proxy.dataplane.messages import Backend, BackendStats, Counters, PortSettings, PortStats
from kube_proxy.dataplane.stream import End, reset_on_close

log = logging.getLogger(__name__)

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
ACCEPT_PAUSE = 0.2
"""Seconds without accepting after the process ran out of descriptors or memory."""
LOG_EVERY = 30.0
"""Seconds between two lines about the same trouble."""
SWEEP = 5.0
HALF_CLOSED_PATIENCE = 900.0
"""Seconds that a connection with one direction ended may stay without a byte."""
KEEPALIVE_AFTER = 3
"""Sweeps without a byte after which the kernel is asked to probe a backend."""


def set_keepalive(sock: Socket) -> None:
    """Let the kernel find out within two minutes that a peer has vanished; accepted sockets inherit it."""
    sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
    sock.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, 60)
    sock.setsockopt(IPPROTO_TCP, TCP_KEEPINTVL, 15)
    sock.setsockopt(IPPROTO_TCP, TCP_KEEPCNT, 4)


class Forwarder:
    """What all TCP ports of a worker share: the loop, open connections, dials under way, counters."""

    def __init__(self, loop: Loop, counters: Counters) -> None:
        self.loop = loop
        self.counters = counters
        self.listeners: dict[int, Listener] = {}
        self.dials: set[Dial] = set()
        self.clients: set[End] = set()
        self.spare: Socket | None = None
        """For the next client's backend."""
        self._paused_until = 0.0
        self._last_logged: dict[str, float] = {}
        self._next_sweep = 0.0

    def serve(self, name: str, settings: PortSettings, fd: int, stats: PortStats) -> Balancer:
        """Prepare a port; its first table of backends opens it, so that nobody is refused for lack of news."""
        self.stop(stats.port)
        listener = Listener(self, name, Socket(AF_INET, SOCK_STREAM, 0, fd), settings, stats)
        self.listeners[stats.port] = listener
        return listener.balancer

    def set_backends(self, port: int, backends: Sequence[Backend]) -> None:
        if listener := self.listeners.get(port):
            listener.balancer.replace(backends)
            listener.informed = True
            if not backends:
                # The parent has the kernel refuse clients now; the socket would report nothing but its hang-up.
                listener.pause()
            elif not self._paused_until:
                listener.resume()

    def stop(self, port: int) -> None:
        if listener := self.listeners.pop(port, None):
            listener.close()

    def establish(self, client: Socket, backend: Socket, stats: BackendStats) -> None:
        """Join two connected sockets; takes both over."""
        near, far = End(self, client), End(self, backend)
        near.stats = stats
        stats.open += 1
        near.peer, far.peer = far, near
        handlers, epoll = self.loop.handlers, self.loop.epoll
        handlers[near.fd], handlers[far.fd] = near.on_ready, far.on_ready
        epoll.register(near.fd, EPOLLIN)
        epoll.register(far.fd, EPOLLIN)
        near.interest = far.interest = EPOLLIN
        self.clients.add(near)
        near.on_ready(EPOLLIN)  # most clients speak first, and have by now

    def close(self, end: End, *, reset: bool = False) -> None:
        near = end if end in self.clients else end.peer
        far = near.peer
        self.clients.discard(near)
        self._count(near)
        if near.stats:
            near.stats.open -= 1
        for side in (near, far):
            self.loop.handlers.pop(side.fd, None)
            if reset:
                reset_on_close(side.sock)
            side.sock.close()
            side.peer = side  # no cycles: memory is free at once

    def exhausted(self, exc: OSError) -> None:
        """Out of descriptors or memory: whoever wants to connect waits in the kernel's queue for a moment."""
        self.complain("accept", "out of resources (%s) with %d connections open; pausing", exc, len(self.clients))
        self._paused_until = time.monotonic() + ACCEPT_PAUSE
        for listener in self.listeners.values():
            listener.pause()

    def complain(self, topic: str, message: str, *args: object) -> None:
        now = time.monotonic()
        if now - self._last_logged.get(topic, -LOG_EVERY) >= LOG_EVERY:
            self._last_logged[topic] = now
            log.warning(message, *args)

    def tick(self, now: float) -> None:
        for dial in [dial for dial in self.dials if dial.deadline <= now]:
            dial.on_timeout()
        if self._paused_until and now >= self._paused_until:
            self._paused_until = 0.0
            for listener in self.listeners.values():
                listener.resume()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP
            self._sweep(now)

    def wake_within(self) -> float:
        if self.dials or self._paused_until:
            return 0.05
        return SWEEP if self.clients else -1.0

    def _sweep(self, now: float) -> None:
        for near in list(self.clients):
            if self._count(near):
                near.quiet = 0
                continue
            near.quiet += 1
            if near.quiet == KEEPALIVE_AFTER:
                set_keepalive(near.peer.sock)
            if (near.eof or near.peer.eof) and near.quiet * SWEEP >= HALF_CLOSED_PATIENCE:
                self.close(near, reset=True)
        for listener in self.listeners.values():
            listener.balancer.forget_expired(now)

    def _count(self, near: End) -> int:
        """Add what moved since the last time to the counters."""
        far = near.peer
        sent, received = near.moved - near.told, far.moved - far.told
        near.told, far.told = near.moved, far.moved
        self.counters.bytes_to_backends += sent
        self.counters.bytes_to_clients += received
        if near.stats:
            near.stats.bytes_to_backend += sent
            near.stats.bytes_to_client += received
        return sent + received


class Listener:
    """One service port. The descriptor is shared with the other workers and the parent."""

    def __init__(
        self, forwarder: Forwarder, name: str, sock: Socket, settings: PortSettings, stats: PortStats
    ) -> None:
        self.forwarder = forwarder
        self.name = name
        self.balancer = Balancer(settings.affinity_seconds)
        self.proxy_protocol = settings.proxy_protocol
        self.stats = stats
        self._sock = sock
        self._accept = sock._accept  # type: ignore[attr-defined]  # what socket.accept wraps, half a dozen us slower
        self._fd = sock.fileno()
        self.informed = False

    def resume(self) -> None:
        if self.informed and self.balancer.backends and self._fd not in self.forwarder.loop.handlers:
            self.forwarder.loop.register(self._fd, EPOLLIN | EPOLLEXCLUSIVE, self._on_ready)

    def pause(self) -> None:
        self.forwarder.loop.unregister(self._fd)

    def close(self) -> None:
        self.pause()
        self._sock.close()

    def _on_ready(self, events: int) -> None:
        forwarder = self.forwarder
        try:
            # First the socket towards the backend: who cannot have one must not accept either.
            backend = forwarder.spare or new_socket()
            forwarder.spare = backend
            fd, address = self._accept()
        except BlockingIOError:
            return
        except OSError as exc:
            if exc.errno in EXHAUSTED:
                forwarder.exhausted(exc)
            return
        forwarder.spare = None
        # The kernel wakes the first waiter of the queue: going to its end after each connection shares them out.
        epoll = forwarder.loop.epoll
        epoll.unregister(self._fd)
        epoll.register(self._fd, EPOLLIN | EPOLLEXCLUSIVE)
        forwarder.counters.accepted += 1
        Dial(self, Socket(AF_INET, SOCK_STREAM, 0, fd), address).next_backend(backend)
