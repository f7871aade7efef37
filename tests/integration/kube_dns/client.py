"""A DNS client on loopback, with dnslib's idea of the wire."""

import asyncio
import socket
import struct

import dnslib


def request(name: str, type: str = "A", edns: int | None = None) -> dnslib.DNSRecord:
    question = dnslib.DNSRecord.question(name, type)
    if edns is not None:
        question.add_ar(dnslib.EDNS0(udp_len=edns))
    return question


class DnsClient:
    """Asks one server; ``timeout`` in seconds."""

    def __init__(self, port: int, host: str = "127.0.0.1", timeout: float = 6.0) -> None:
        self.address = (host, port)
        self._timeout = timeout

    async def ask(self, name: str, type: str = "A", *, tcp: bool = False, edns: int | None = None) -> dnslib.DNSRecord:
        """The answer. Raises TimeoutError."""
        data = bytes(request(name, type, edns).pack())
        answer = await asyncio.to_thread(self._tcp if tcp else self._udp, data)
        assert answer[:2] == data[:2]
        return dnslib.DNSRecord.parse(answer)

    async def addresses(self, name: str, type: str = "A", *, tcp: bool = False) -> list[str]:
        """The data of the answer's records of that type, in order of text."""
        answer = await self.ask(name, type, tcp=tcp)
        return sorted(str(record.rdata) for record in answer.rr if record.rtype == getattr(dnslib.QTYPE, type))

    async def rcode(self, name: str, type: str = "A") -> str:
        return str(dnslib.RCODE[(await self.ask(name, type)).header.rcode])

    def _udp(self, data: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(self._timeout)
            sock.connect(self.address)  # an answer from any other address is not received
            sock.send(data)
            return sock.recv(65535)

    def _tcp(self, data: bytes) -> bytes:
        with socket.create_connection(self.address, timeout=self._timeout) as sock:
            sock.sendall(struct.pack("!H", len(data)) + data)
            return read_message(sock)


def read_message(sock: socket.socket) -> bytes:
    """One message from a TCP connection. Raises EOFError."""
    (length,) = struct.unpack("!H", _read(sock, 2))
    return _read(sock, length)


def _read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        if not (more := sock.recv(count - len(data))):
            raise EOFError
        data += more
    return data
