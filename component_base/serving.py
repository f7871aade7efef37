"""HTTP and HTTPS serving of an ASGI application on uvicorn, with an orderly shutdown.

Owns sockets, TLS and the server's life. A server listens on one or more addresses. With a client CA, a client
certificate that does not verify causes a TLS alert, while a client without one reaches the application. When the files
of certificates change, later connections are served with the new ones, and those that exist stay. On shutdown
``stopping`` is set (also in ``scope["state"]["stopping"]``), requests and streams have ``GRACE`` seconds to end and
are then cut, and ``run`` returns within 3 s however many watches are open.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from uvicorn.server import ServerState

from apimachinery.core.certificates import Validity
from component_base import metrics
from component_base.health import Health
from component_base.http_protocol import HttpProtocol
from component_base.streams import Stream, Upgrade
from component_base.tls import CHECK_FILES, TLS, RenewedContext, ssl_context

__all__ = ["TLS", "Server", "Stream", "Upgrade", "bind_several", "daemon_app", "ssl_context"]

log = logging.getLogger(__name__)

GRACE = 1.5
"""Seconds for running requests and streams to end after ``stopping`` is set."""

_CUT = 0.5
"""Seconds for cancelled requests to clean up."""

KEEP_ALIVE = 90
"""Seconds that an idle connection stays open, as in Kubernetes; more than clients keep theirs open."""

_BACKLOG = 2048

Address = tuple[str, int]
"""Host and port; port 0 means any free port, see ``Server.addresses``."""


class Server:
    """Serves one application on one or more addresses, or on sockets that are bound already.

    Use ``run`` as a task, or the instance as an async context manager.
    """

    def __init__(
        self,
        app: Any,
        addresses: Sequence[Address | socket.socket],
        *,
        tls: TLS | ssl.SSLContext | None = None,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.stopping = asyncio.Event()
        self._to_bind = list(addresses)
        self._files = RenewedContext(tls) if isinstance(tls, TLS) else None
        self._ssl = tls if not isinstance(tls, TLS) else None
        self._is_behind = False
        """Whether the listeners have an older certificate than there is."""
        self._app_state = {**(state or {}), "stopping": self.stopping}
        self._state = ServerState()
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.Server] = []
        self._upkeep: asyncio.Task[None] | None = None
        self._config = uvicorn.Config(
            app,
            interface="asgi3",
            http=HttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
        )
        logging.getLogger("uvicorn.error").addFilter(_not_cancelled)

    @property
    def addresses(self) -> list[Address]:
        """Where the server listens, with the actual ports."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    @property
    def port(self) -> int:
        """The port of the first address."""
        return self.addresses[0][1]

    @property
    def certificates(self) -> Mapping[Path, Validity]:
        """How long those certificates are valid that are read from files."""
        return self._files.certificates if self._files else {}

    async def run(self) -> None:
        """Serve until cancelled. Raises OSError if an address is unavailable."""
        async with self:
            await asyncio.Event().wait()

    async def __aenter__(self) -> Self:
        self._config.load()
        self._set_date()
        self._sockets = _bind_all(self._to_bind)
        await self._listen()
        self._upkeep = asyncio.create_task(self._tick(), name="serving-upkeep")
        scheme = "https" if self._ssl or self._files else "http"
        log.info("serving on %s", ", ".join(f"{scheme}://{host}:{port}" for host, port in self.addresses))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._upkeep is not None:
            self._upkeep.cancel()
            with suppress(asyncio.CancelledError):
                await self._upkeep
        await self._stop()

    async def _listen(self) -> None:
        """Accept connections, from now on with the current certificate."""
        loop, context, listeners = asyncio.get_running_loop(), self._files.context if self._files else self._ssl, []
        try:
            for sock in self._sockets:
                listener = await loop.create_server(self._protocol, sock=sock.dup(), ssl=context, backlog=_BACKLOG)
                listeners.append(listener)
        except BaseException:
            _close(listeners)
            raise
        before, self._listeners = self._listeners, listeners
        _close(before)

    def _protocol(self) -> HttpProtocol:
        return HttpProtocol(config=self._config, server_state=self._state, app_state=self._app_state)

    async def _tick(self) -> None:
        """Every second, set the Date header and close connections whose client is overdue; renew certificates."""
        loop = asyncio.get_running_loop()
        files_checked = loop.time()
        while True:
            await asyncio.sleep(1.0)
            self._set_date()
            now = loop.time()
            if now - files_checked >= CHECK_FILES:
                files_checked = now
                await self.renew()
            for connection in [*self._state.connections]:
                if isinstance(connection, HttpProtocol) and connection.overdue(now):
                    connection.transport.close()

    async def renew(self) -> None:
        """Look now whether the files of certificates have changed, which happens every few seconds anyway."""
        if self._files is None or not (self._files.renew() or self._is_behind):
            return
        try:
            await self._listen()
            self._is_behind = False
        except OSError as exc:  # out of descriptors
            self._is_behind = True
            log.warning("cannot listen with the new certificate: %s; will retry", exc)

    def _set_date(self) -> None:
        self._state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]

    async def _stop(self) -> None:
        """Stop accepting, wait for running requests, cut those that do not end."""
        _close(self._listeners)
        for sock in self._sockets:
            sock.close()
        self.stopping.set()
        for connection in [*self._state.connections]:
            connection.shutdown()
        deadline = asyncio.get_running_loop().time() + GRACE
        while self._state.tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._state.tasks, timeout=left)
        if self._state.tasks:
            log.info("cutting %d requests that have not ended", len(self._state.tasks))
            for task in [*self._state.tasks]:
                task.cancel()
            await asyncio.wait([*self._state.tasks], timeout=_CUT)
        # Responses that the application has completed may still be in a slow client's buffer.
        while self._state.connections and (left := deadline - asyncio.get_running_loop().time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, 0.02))
        for leftover in [*self._state.connections]:
            transport = leftover.transport if isinstance(leftover, HttpProtocol) else leftover
            transport.abort()  # type: ignore[union-attr]  # a Stream, or a transport
        self._listeners.clear()


def _close(listeners: Iterable[asyncio.Server]) -> None:
    """Connections that they have accepted stay."""
    for listener in listeners:
        listener.close()


def _bind_all(addresses: Sequence[Address | socket.socket]) -> list[socket.socket]:
    """Bind all addresses, or none: if one is unavailable, no socket stays open."""
    with ExitStack() as undo:
        sockets = []
        for address in addresses:
            sock = address if isinstance(address, socket.socket) else bind(address)
            sockets.append(undo.enter_context(sock))
        undo.pop_all()
        return sockets


def bind_several(address: Address, count: int) -> list[socket.socket]:
    """Several sockets on one address, among which the kernel distributes connections evenly.

    Raises OSError, with the address in its text, if the address is unavailable.
    """
    bind(address).close()  # fails if another server uses the address, even if that one shares it with SO_REUSEPORT
    with ExitStack() as undo:
        sockets = [undo.enter_context(bind(address, shared=True)) for _ in range(count)]
        undo.pop_all()
        return sockets


def bind(address: Address, *, shared: bool = False) -> socket.socket:
    """A socket on an address. Raises OSError, with the address in its text, if the address is unavailable."""
    host, port = address
    family, kind, protocol, _, where = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host in ("", "::") else 1)
        sock.bind(where)
    except OSError as exc:
        sock.close()
        raise OSError(exc.errno, f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    sock.setblocking(False)
    return sock


def _not_cancelled(record: logging.LogRecord) -> bool:
    """uvicorn logs a request that we cancel at shutdown as an error of the application; this filters it out."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def daemon_app(health: Health) -> Starlette:
    """The application of a daemon that serves only /healthz, /livez, /readyz and /metrics."""
    return Starlette(routes=[*health.routes(), *metrics.routes()])
