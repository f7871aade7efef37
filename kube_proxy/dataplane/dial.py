"""The way from an accepted client to a backend that takes it.

Promises: never blocks; a backend that says no is passed over at once, one that does not answer after 250 ms, then
500 ms, 1 s, 2 s; a client whose service has no reachable endpoint is reset at once; a failed dial drops the client's
affinity.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from _socket import socket as Socket
from select import EPOLLOUT
from socket import AF_INET, IPPROTO_TCP, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, TCP_NODELAY
from typing import TYPE_CHECKING

from kube_proxy.dataplane.messages import Backend
from kube_proxy.dataplane.proxy_protocol import asked_address, header
from kube_proxy.dataplane.stream import reset_on_close

if TYPE_CHECKING:
    from kube_proxy.dataplane.tcp import Listener

log = logging.getLogger(__name__)

DIAL_TIMEOUTS = (0.25, 0.5, 1.0, 2.0)


def new_socket() -> Socket:
    return Socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)


class Dial:
    """A client that waits for a backend."""

    __slots__ = (
        "_answered", "_backend", "_client", "_client_address", "_client_port", "_listener", "_sock", "_started",
        "_timeouts", "_tried", "deadline",
    )  # fmt: skip

    def __init__(self, listener: Listener, client: Socket, client_address: tuple[str, int]) -> None:
        self._listener = listener
        self._client = client
        self._client_address, self._client_port = client_address
        self._tried: list[Backend] = []
        self._answered: list[Backend] = []
        """Those of the tried that said no: asking them again is in vain."""
        self._timeouts = 0
        self._started = 0.0
        self._sock: Socket | None = None
        self._backend: Backend = ("", 0)
        self.deadline = 0.0

    def next_backend(self, sock: Socket | None = None) -> None:
        """Dial, with ``sock`` first, until one backend connects, has to be waited for, or none is left."""
        while backend := self._pick():
            self._listener.stats.retries += bool(self._tried)
            self._tried.append(backend)
            self._started = time.monotonic()
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
        listener = self._listener
        stats = listener.stats.of(backend)
        stats.connected(time.monotonic() - self._started)
        if listener.proxy_protocol:
            client = (self._client_address, self._client_port)
            # Nothing was sent before, so the kernel takes it whole; if the backend is gone, forwarding finds out.
            with contextlib.suppress(OSError):
                sock.send(header(listener.proxy_protocol, client, asked_address(self._client)), MSG_NOSIGNAL)
        listener.forwarder.establish(self._client, sock, stats)

    def on_timeout(self) -> None:
        forwarder = self._listener.forwarder
        forwarder.counters.dial_timeouts += 1
        sock, backend = self._stop_waiting()
        self._timeouts += 1
        sock.close()
        self._listener.stats.of(backend).timeouts += 1
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
            self._connected(sock, backend)
            return
        self._failed(sock, backend, code)
        self.next_backend()

    def _failed(self, sock: Socket, backend: Backend, code: int) -> None:
        sock.close()
        listener = self._listener
        listener.forwarder.counters.dial_errors += 1
        listener.stats.of(backend).errors += 1
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
            self._listener.stats.unreachable += 1
            self._listener.forwarder.complain(
                f"dial {self._listener.name}",
                "%s: none of %d backends answered",
                self._listener.name,
                len({*self._tried}),
            )
        else:
            counters.refused += 1
            self._listener.stats.refused += 1
        reset_on_close(self._client)
        self._client.close()
