"""From an accepted client to a backend that takes its connection.

Promises: never blocks; a backend that refuses is passed over at once, one that does not answer after 250 ms, then
500 ms, 1 s, 2 s; a client whose service has no endpoint that answers, or none that policies allow, is reset at once; a
failed dial ends the client's affinity.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from _socket import socket as Socket
from collections.abc import Callable
from dataclasses import dataclass
from select import EPOLLOUT
from socket import AF_INET, IPPROTO_TCP, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, TCP_NODELAY

from kube_proxy.dataplane.balancer import Balancer
from kube_proxy.dataplane.loop import Complaints, Loop
from kube_proxy.dataplane.messages import Backend, Counters, PortStats
from kube_proxy.dataplane.proxy_protocol import header, original_destination
from kube_proxy.dataplane.stream import Connections, reset_on_close

log = logging.getLogger(__name__)

DIAL_TIMEOUTS = (0.25, 0.5, 1.0, 2.0)


def new_socket() -> Socket:
    return Socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)


@dataclass(eq=False, slots=True)
class Port:
    """What dialing needs to know of a service port."""

    name: str
    balancer: Balancer
    stats: PortStats
    proxy_protocol: int


class Dials:
    """Those of a worker that are under way."""

    def __init__(
        self, loop: Loop, counters: Counters, connections: Connections, on_exhausted: Callable[[OSError], None]
    ) -> None:
        """``on_exhausted`` is called when the process runs out of descriptors or memory."""
        self.loop = loop
        self.counters = counters
        self.establish = connections.establish
        self.on_exhausted = on_exhausted
        self.complaints = Complaints()
        self.waiting: set[Dial] = set()

    def expire(self, now: float) -> None:
        for dial in [dial for dial in self.waiting if dial.deadline <= now]:
            dial.on_timeout()


class Dial:
    """A client that waits for a backend."""

    __slots__ = (
        "_backend", "_client", "_client_address", "_client_port", "_dials", "_port", "_refused", "_sock", "_started",
        "_timeouts", "_tried", "deadline",
    )  # fmt: skip

    def __init__(self, dials: Dials, port: Port, client: Socket, client_address: tuple[str, int]) -> None:
        self._dials = dials
        self._port = port
        self._client = client
        self._client_address, self._client_port = client_address
        self._tried: list[Backend] = []
        self._refused: list[Backend] = []
        """Those of the tried that refused: they are not tried again."""
        self._timeouts = 0
        self._started = 0.0
        self._sock: Socket | None = None
        self._backend: Backend = ("", 0)
        self.deadline = 0.0

    def next_backend(self, sock: Socket | None = None) -> None:
        """Dial, with ``sock`` first, until one backend connects or has to be waited for, or none is left."""
        while backend := self._pick():
            self._port.stats.retries += bool(self._tried)
            self._tried.append(backend)
            self._started = time.monotonic()
            try:
                sock = sock or new_socket()
            except OSError as exc:
                self._dials.on_exhausted(exc)
                break
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            code = sock.connect_ex(backend)
            if code == errno.EINPROGRESS:
                # On this node the handshake is over by the time connect returns; asking again saves a round.
                code = sock.connect_ex(backend)
            if not code:
                self._connected(sock, backend)
                return
            if code in (errno.EALREADY, errno.EINPROGRESS):
                self._wait(sock, backend)
                return
            self._failed(sock, backend, code)
            sock = None
        if sock:
            sock.close()
        self._give_up()

    def _connected(self, sock: Socket, backend: Backend) -> None:
        port = self._port
        stats = port.stats.of(backend)
        stats.connected(time.monotonic() - self._started)
        if port.proxy_protocol:
            client = (self._client_address, self._client_port)
            # Nothing was sent before, so the kernel takes it whole; if the backend is gone, forwarding finds out.
            with contextlib.suppress(OSError):
                sock.send(header(port.proxy_protocol, client, original_destination(self._client)), MSG_NOSIGNAL)
        self._dials.establish(self._client, sock, stats)

    def on_timeout(self) -> None:
        self._dials.counters.dial_timeouts += 1
        sock, backend = self._stop_waiting()
        self._timeouts += 1
        sock.close()
        self._port.stats.of(backend).timeouts += 1
        self._port.balancer.failed(self._client_address, backend)
        log.debug("%s: %s:%d: no answer", self._port.name, *backend)
        self.next_backend()

    def _pick(self) -> Backend | None:
        if self._timeouts == len(DIAL_TIMEOUTS):
            return None
        pick, now = self._port.balancer.pick, time.monotonic()
        return pick(self._client_address, now, self._tried) or pick(self._client_address, now, self._refused)

    def _wait(self, sock: Socket, backend: Backend) -> None:
        dials = self._dials
        self._sock, self._backend = sock, backend
        self.deadline = time.monotonic() + DIAL_TIMEOUTS[self._timeouts]
        dials.waiting.add(self)
        dials.loop.register(sock.fileno(), EPOLLOUT, self._on_ready)

    def _stop_waiting(self) -> tuple[Socket, Backend]:
        dials = self._dials
        assert self._sock is not None
        sock, self._sock = self._sock, None
        dials.waiting.discard(self)
        dials.loop.unregister(sock.fileno())
        return sock, self._backend

    def _on_ready(self, events: int) -> None:
        assert self._sock is not None
        code = self._sock.connect_ex(self._backend)
        if code in (errno.EALREADY, errno.EINPROGRESS):
            return
        sock, backend = self._stop_waiting()
        if not code or code == errno.EISCONN:
            self._connected(sock, backend)
            return
        self._failed(sock, backend, code)
        self.next_backend()

    def _failed(self, sock: Socket, backend: Backend, code: int) -> None:
        sock.close()
        port = self._port
        self._dials.counters.dial_errors += 1
        port.stats.of(backend).errors += 1
        port.balancer.failed(self._client_address, backend)
        self._refused.append(backend)
        if code == errno.EADDRNOTAVAIL:
            self._dials.complaints.log(
                "ports", "%s: %s:%d: no local port left towards this backend", port.name, *backend
            )
        log.debug("%s: %s:%d: %s", port.name, *backend, errno.errorcode.get(code, code))

    def _give_up(self) -> None:
        counters = self._dials.counters
        if self._tried:
            counters.failed += 1
            self._port.stats.unreachable += 1
            self._dials.complaints.log(
                f"dial {self._port.name}",
                "%s: none of %d backends answered",
                self._port.name,
                len({*self._tried}),
            )
        elif self._port.balancer.backends:
            counters.denied += 1
        else:
            counters.refused += 1
            self._port.stats.refused += 1
        reset_on_close(self._client)
        self._client.close()
