"""TCP service ports in a worker: accepting, dialling a backend, keeping book of open connections.

Promises: a slow or dead backend delays nobody but its own client; a failed dial moves on to the next backend at
once, one that does not answer after 250 ms, then 500 ms, 1 s, 2 s; a client whose service has no endpoint, or no
reachable one, is reset at once; running out of descriptors pauses accepting and never spins or crashes.
"""

from __future__ import annotations

import errno
import logging
import time
from _socket import socket as Socket
from collections.abc import Sequence
from select import EPOLLEXCLUSIVE, EPOLLIN, EPOLLOUT
from socket import (
    AF_INET,
    IPPROTO_TCP,
    SO_KEEPALIVE,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_NODELAY,
)

from kube_proxy.dataplane.balancer import Balancer
from kube_proxy.dataplane.loop import Loop
from kube_proxy.dataplane.messages import Backend, Counters
from kube_proxy.dataplane.stream import End, reset_on_close

log = logging.getLogger(__name__)

DIAL_TIMEOUTS = (0.25, 0.5, 1.0, 2.0)
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


def new_socket() -> Socket:
    return Socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)


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

    def serve(self, port: int, name: str, affinity_seconds: int | None, fd: int) -> None:
        """Prepare a port; its first table of backends opens it, so that nobody is refused for lack of news."""
        self.stop(port)
        self.listeners[port] = Listener(self, name, Socket(AF_INET, SOCK_STREAM, 0, fd), Balancer(affinity_seconds))

    def set_backends(self, port: int, backends: Sequence[Backend]) -> None:
        if listener := self.listeners.get(port):
            listener.balancer.replace(backends)
            listener.informed = True
            if not self._paused_until:
                listener.resume()

    def stop(self, port: int) -> None:
        if listener := self.listeners.pop(port, None):
            listener.close()

    def establish(self, client: Socket, backend: Socket) -> None:
        """Join two connected sockets; takes both over."""
        near, far = End(self, client), End(self, backend)
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
        return sent + received


class Listener:
    """One service port. The descriptor is shared with the other workers and the parent."""

    def __init__(self, forwarder: Forwarder, name: str, sock: Socket, balancer: Balancer) -> None:
        self.forwarder = forwarder
        self.name = name
        self.balancer = balancer
        self._sock = sock
        self._accept = sock._accept  # type: ignore[attr-defined]  # what socket.accept wraps, half a dozen us slower
        self._fd = sock.fileno()
        self.informed = False

    def resume(self) -> None:
        if self.informed and self._fd not in self.forwarder.loop.handlers:
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
        Dial(self, Socket(AF_INET, SOCK_STREAM, 0, fd), address[0]).next_backend(backend)


class Dial:
    """A client that waits for a backend."""

    __slots__ = (
        "_answered", "_backend", "_client", "_client_address", "_listener", "_sock", "_timeouts", "_tried", "deadline",
    )  # fmt: skip

    def __init__(self, listener: Listener, client: Socket, client_address: str) -> None:
        self._listener = listener
        self._client = client
        self._client_address = client_address
        self._tried: list[Backend] = []
        self._answered: list[Backend] = []
        """Those of the tried that said no: asking them again is in vain."""
        self._timeouts = 0
        self._sock: Socket | None = None
        self._backend: Backend = ("", 0)
        self.deadline = 0.0

    def next_backend(self, sock: Socket | None = None) -> None:
        """Dial, with ``sock`` first, until one backend connects, has to be waited for, or none is left."""
        while backend := self._pick():
            self._tried.append(backend)
            try:
                sock = sock or new_socket()
            except OSError as exc:
                self._listener.forwarder.exhausted(exc)
                break
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            code = sock.connect_ex(backend)
            if code == errno.EINPROGRESS:
                # On this node the handshake is over by the time connect returns; asking again saves a round.
                code = sock.connect_ex(backend)
            if not code:
                self._listener.forwarder.establish(self._client, sock)
                return
            if code in (errno.EALREADY, errno.EINPROGRESS):
                self._wait(sock, backend)
                return
            self._failed(sock, backend, code)
            sock = None
        if sock:
            sock.close()
        self._give_up()

    def on_timeout(self) -> None:
        forwarder = self._listener.forwarder
        forwarder.counters.dial_timeouts += 1
        sock, backend = self._stop_waiting()
        self._timeouts += 1
        sock.close()
        self._listener.balancer.failed(self._client_address, backend)
        log.debug("%s: %s:%d: no answer", self._listener.name, *backend)
        self.next_backend()

    def _pick(self) -> Backend | None:
        if self._timeouts == len(DIAL_TIMEOUTS):
            return None
        pick, now = self._listener.balancer.pick, time.monotonic()
        return pick(self._client_address, now, self._tried) or pick(self._client_address, now, self._answered)

    def _wait(self, sock: Socket, backend: Backend) -> None:
        forwarder = self._listener.forwarder
        self._sock, self._backend = sock, backend
        self.deadline = time.monotonic() + DIAL_TIMEOUTS[self._timeouts]
        forwarder.dials.add(self)
        forwarder.loop.register(sock.fileno(), EPOLLOUT, self._on_ready)

    def _stop_waiting(self) -> tuple[Socket, Backend]:
        forwarder = self._listener.forwarder
        assert self._sock is not None
        sock, self._sock = self._sock, None
        forwarder.dials.discard(self)
        forwarder.loop.unregister(sock.fileno())
        return sock, self._backend

    def _on_ready(self, events: int) -> None:
        assert self._sock is not None
        code = self._sock.connect_ex(self._backend)
        if code in (errno.EALREADY, errno.EINPROGRESS):
            return
        sock, backend = self._stop_waiting()
        if not code or code == errno.EISCONN:
            self._listener.forwarder.establish(self._client, sock)
            return
        self._failed(sock, backend, code)
        self.next_backend()

    def _failed(self, sock: Socket, backend: Backend, code: int) -> None:
        sock.close()
        listener = self._listener
        listener.forwarder.counters.dial_errors += 1
        listener.balancer.failed(self._client_address, backend)
        self._answered.append(backend)
        if code == errno.EADDRNOTAVAIL:
            listener.forwarder.complain(
                "ports", "%s: %s:%d: no local port left towards this backend", listener.name, *backend
            )
        log.debug("%s: %s:%d: %s", listener.name, *backend, errno.errorcode.get(code, code))

    def _give_up(self) -> None:
        counters = self._listener.forwarder.counters
        if self._tried:
            counters.failed += 1
            self._listener.forwarder.complain(
                f"dial {self._listener.name}",
                "%s: none of %d backends answered",
                self._listener.name,
                len({*self._tried}),
            )
        else:
            counters.refused += 1
        reset_on_close(self._client)
        self._client.close()
