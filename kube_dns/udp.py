"""Questions over UDP: one socket per address, read in the event loop without a transport in between.

A wake-up reads as many datagrams as wait, up to a bound that lets others have their turn. Each answer leaves from
the address that the client asked: on a socket for all addresses the kernel would choose by route, and a client that asked
another of the machine's addresses would throw the answer away.
"""

import asyncio
import logging
import socket
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self

from kube_dns import metrics
from kube_dns.resolver import Resolver, Waiting

log = logging.getLogger(__name__)

_BATCH: Final = 64
_BIGGEST: Final = 4096
"""Bytes of a request; what is cut off here is malformed."""

_BUFFER: Final = 4 << 20
"""Bytes of the kernel's queue, as far as it grants them: room for a burst while something else runs."""

_MOST_WAITING: Final = 5000
"""Questions that wait for other servers, over all clients; one more is dropped, and its client asks again."""

_CONTROL: Final = socket.CMSG_SPACE(12)
_IP_PKTINFO: Final = 8  # the socket module of Python 3.11 does not name it


class UdpServer:
    """Serves one address, as an async context manager. Raises OSError when the address is unavailable."""

    def __init__(self, host: str, port: int, resolver: Resolver) -> None:
        self._host, self._port, self._resolver = host, port, resolver
        self._waiting: set[asyncio.Task[None]] = set()
        self._duration = metrics.request_duration
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    async def __aenter__(self) -> Self:
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        anywhere = self._host == "0.0.0.0"
        try:
            if anywhere:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self._socket.bind((self._host, self._port))
        except OSError as exc:
            self._socket.close()
            raise OSError(exc.errno, f"cannot listen on {self._host}:{self._port}/udp: {exc.strerror}") from exc
        read = self._read_anywhere if anywhere else self._read
        asyncio.get_running_loop().add_reader(self._socket.fileno(), read)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        for task in self._waiting:
            task.cancel()
        self._socket.close()

    def _read(self) -> None:
        prepared, receive, send = self._resolver.prepared(), self._socket.recvfrom, self._socket.sendto
        started = perf_counter()
        for _ in range(_BATCH):
            try:
                data, client = receive(_BIGGEST)
            except BlockingIOError:
                return
            except OSError as exc:  # an ICMP error for an earlier answer
                log.debug("%s: %s", self._host, exc)
                continue
            ready = prepared.get(data[2:])
            if ready is None:
                self._respond(data, client, ())
                prepared = self._resolver.prepared()
            else:
                try:
                    send(data[:2] + ready.body(), client)
                except OSError as exc:
                    self._unsent(exc)
                self._count(ready.type, ready.rcode)
            ended = perf_counter()
            self._duration.observe(ended - started, "udp")
            started = ended

    def _read_anywhere(self) -> None:
        """As ``_read``, with the address that was asked in a control message both ways."""
        prepared, receive = self._resolver.prepared(), self._socket.recvmsg
        started = perf_counter()
        for _ in range(_BATCH):
            try:
                data, control, _, client = receive(_BIGGEST, _CONTROL)
            except BlockingIOError:
                return
            except OSError as exc:
                log.debug("%s: %s", self._host, exc)
                continue
            answer_from = _answer_from(control)
            ready = prepared.get(data[2:])
            if ready is None:
                self._respond(data, client, answer_from)
                prepared = self._resolver.prepared()
            else:
                self._send(data[:2] + ready.body(), client, answer_from)
                self._count(ready.type, ready.rcode)
            ended = perf_counter()
            self._duration.observe(ended - started, "udp")
            started = ended

    @staticmethod
    def _count(type: str, rcode: str) -> None:
        metrics.requests.inc("udp", type)
        metrics.responses.inc(rcode)
        metrics.cache_hits.inc("zone")

    def _respond(self, data: bytes, client: Any, answer_from: Any) -> None:
        answer = self._resolver.respond(data, stream=False)
        if isinstance(answer, bytes):
            self._send(answer, client, answer_from)
        elif answer is None:
            return
        elif len(self._waiting) >= _MOST_WAITING:
            metrics.dropped.inc("too many waiting")
        else:
            task = asyncio.get_running_loop().create_task(self._wait(answer, client, answer_from), name="udp")
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _wait(self, waiting: Waiting, client: Any, answer_from: Any) -> None:
        self._send(await self._resolver.resolve(waiting), client, answer_from)

    def _send(self, answer: bytes, client: Any, answer_from: Any) -> None:
        try:
            if answer_from:
                self._socket.sendmsg((answer,), answer_from, 0, client)
            else:
                self._socket.sendto(answer, client)
        except OSError as exc:
            self._unsent(exc)

    @staticmethod
    def _unsent(exc: OSError) -> None:
        """A full queue, a client whose address has no route any more: the client asks again if it is there."""
        metrics.dropped.inc("unsent")
        log.debug("an answer was not sent: %s", exc)


def _answer_from(control: list[tuple[int, int, bytes]]) -> tuple[tuple[int, int, bytes], ...]:
    """The control message that makes an answer leave from where the request (with these) came to.

    in_pktinfo is interface, local address, address in the header; the interface is left to the routes.
    """
    for level, type, data in control:
        if level == socket.IPPROTO_IP and type == _IP_PKTINFO:
            return ((socket.IPPROTO_IP, _IP_PKTINFO, b"\0\0\0\0" + data[4:8] + b"\0\0\0\0"),)
    return ()
