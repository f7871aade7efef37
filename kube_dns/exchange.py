"""One question to another server, over UDP, and over TCP where the answer does not fit.

An answer counts only if it comes from the server asked, to the port that asked (a socket of its own, so a port that
nobody can guess), with the identifier and the question that were sent.
"""

import asyncio
import secrets
import struct

from kube_dns import encoding
from kube_dns.message import HEADER, TRUNCATED, MessageError
from kube_dns.query import CHECKING_DISABLED, RESPONSE, Query
from kube_dns.upstreams import Server

_LENGTH = struct.Struct("!H")


async def ask(server: Server, query: Query, timeout: float) -> bytes:
    """The server's answer.

    Raises:
        TimeoutError: none within ``timeout`` seconds.
        OSError: the server cannot be reached, or broke the connection off.
        MessageError: it answered something else over TCP.
    """
    request = encoding.question(
        secrets.randbelow(65536), query.question, query.dnssec_ok, bool(query.flags & CHECKING_DISABLED)
    )
    async with asyncio.timeout(timeout):
        answer = await _over_udp(server, request, query)
        if HEADER.unpack_from(answer)[1] & TRUNCATED:
            answer = await _over_tcp(server, request, query)
        return answer


def _answers(data: bytes, request: bytes, query: Query) -> bool:
    """Whether ``data`` is the answer to our request."""
    end = HEADER.size + len(query.question)
    if len(data) < end or data[:2] != request[:2] or not data[2] << 8 & RESPONSE:
        return False
    return data[4:6] == b"\0\1" and data[HEADER.size : end].lower() == query.question.lower()


class _Datagram(asyncio.DatagramProtocol):
    def __init__(self, request: bytes, query: Query) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._request, self._query = request, query

    def datagram_received(self, data: bytes, address: object) -> None:
        if not self.answer.done() and _answers(data, self._request, self._query):
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.cancel()


async def _over_udp(server: Server, request: bytes, query: Query) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Datagram(request, query), remote_addr=server)
    try:
        transport.sendto(request)
        return await protocol.answer
    finally:
        transport.close()


async def _over_tcp(server: Server, request: bytes, query: Query) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(_LENGTH.pack(len(request)) + request)
        await writer.drain()
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        answer = await reader.readexactly(length)
    except asyncio.IncompleteReadError as exc:
        raise ConnectionResetError(f"{server} closed the connection") from exc
    finally:
        writer.close()
    if not _answers(answer, request, query):
        raise MessageError("not the answer to what was asked")
    return answer
