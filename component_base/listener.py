"""Accepts the connections of a listening socket, as many as there are slots for, and serves TLS on them if asked to.

The event loop's own servers accept whatever comes, and show a connection only after its TLS handshake.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from component_base.connections import Slot, Slots

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT = 32.0
"""Seconds for a TLS handshake; Kubernetes' apiserver gives as long."""

_AT_ONCE = 64
"""Connections that are accepted before something else has its turn."""

_PAUSE = 0.2
"""Seconds until the next attempt after the kernel had no descriptor or memory for a connection."""

ProtocolFactory = Callable[[Slot], asyncio.Protocol]
"""Makes the protocol of a connection, which has to leave its slot when the connection is lost."""


class Listener:
    """One socket's. Has to be closed."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: ProtocolFactory,
        slots: Slots,
        tls: Callable[[], ssl.SSLContext | None],
        backlog: int,
    ) -> None:
        """``tls`` is asked at each connection; it says None for all of them or for none."""
        self.address: tuple[str, int] = sock.getsockname()[:2]
        self._socket, self._protocol, self._slots, self._tls = sock, protocol, slots, tls
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None
        sock.listen(backlog)
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Stop listening, and end TLS handshakes in progress."""
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        if self._tls() is not None:
            for task in self._opening:
                task.cancel()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, (host, *_) = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:
                continue  # the client has left meanwhile
            except OSError as fault:
                log.warning("cannot accept connections on %s:%d: %s", *self.address, fault.strerror)
                self._loop.remove_reader(self._socket)
                self._resume = self._loop.call_later(_PAUSE, self._loop.add_reader, self._socket, self._accept)
                return
            self._open(connection, host)

    def _open(self, connection: socket.socket, host: str) -> None:
        connection.setblocking(False)
        slot = self._slots.take(host, connection.close)
        if slot is None:
            connection.close()
            return
        task = self._loop.create_task(self._serve(connection, slot), name="connection")
        # Without TLS it is a protocol's in the next turn of the loop, which finds that its slot is gone.
        slot.cut = task.cancel if self._tls() is not None else _nothing
        self._opening.add(task)

        def begun(task: asyncio.Task[None]) -> None:
            self._opening.discard(task)
            if task.cancelled() or task.exception() is not None:
                connection.close()  # does nothing if the event loop has had it, which closes it itself
                slot.leave()

        task.add_done_callback(begun)

    async def _serve(self, connection: socket.socket, slot: Slot) -> None:
        """Hand the connection to a protocol, after its TLS handshake if it has one. Raises OSError if that fails."""
        tls = self._tls()
        await self._loop.connect_accepted_socket(
            lambda: self._protocol(slot),
            connection,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT if tls is not None else None,
        )


def _nothing() -> None:
    pass
