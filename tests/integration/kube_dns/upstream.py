"""A name server on loopback that knows what a test tells it, over UDP and TCP, and counts what it is asked."""

import asyncio
import socket
import struct
from collections.abc import Callable

import dnslib

from kube_dns.upstreams import Server

SOA = "example.com. 60 SOA ns.example.com. hostmaster.example.com. 1 2 3 4 60"


class Upstream:
    """``records``: zone lines by (name, type). Names that are not there get a name error."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], str] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.silent = False
        self.rcode: int | None = None
        self.mangle: Callable[[bytes], list[bytes]] = lambda answer: [answer]
        self._tcp: asyncio.Server | None = None
        self._udp: asyncio.DatagramTransport | None = None

    @property
    def server(self) -> Server:
        assert self._udp is not None
        return Server(*self._udp.get_extra_info("sockname")[:2])

    async def __aenter__(self) -> "Upstream":
        loop = asyncio.get_running_loop()
        while True:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", 0))
            try:
                self._tcp = await asyncio.start_server(self._connected, *sock.getsockname())
                break
            except OSError:  # somebody has that port of TCP: another pair, then
                sock.close()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Protocol(self), sock=sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._udp is not None
        assert self._tcp is not None
        self._udp.close()
        self._tcp.close()

    def answer(self, data: bytes, proto: str) -> list[bytes]:
        question = dnslib.DNSRecord.parse(data)
        name, type = str(question.q.qname).lower(), str(dnslib.QTYPE[question.q.qtype])
        self.asked.append((name, type, proto))
        if self.silent:
            return []
        reply = question.reply(aa=0)
        if self.rcode is not None:
            reply.header.rcode = self.rcode
        elif (name, type) in self.records:
            reply.add_answer(*dnslib.RR.fromZone(self.records[name, type]))
        else:
            reply.header.rcode = 3
            reply.add_auth(*dnslib.RR.fromZone(SOA))
        reply.add_ar(dnslib.EDNS0(udp_len=4096))
        if proto == "udp" and len(reply.pack()) > 1232:
            reply.rr, reply.header.tc = [], 1
        return self.mangle(bytes(reply.pack()))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        for answer in self.answer(await reader.readexactly(length), "tcp"):
            writer.write(struct.pack("!H", len(answer)) + answer)
        await writer.drain()
        writer.close()


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        for answer in self._upstream.answer(data, "udp"):
            self._transport.sendto(answer, address)
