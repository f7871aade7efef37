"""The PROXY protocol's header, by which a backend learns who its client is and what address it asked.

Layouts as in HAProxy's proxy-protocol.txt, versions 1 (a line of text) and 2 (binary), for TCP over IPv4.
"""

import socket
import struct
from _socket import socket as Socket

Address = tuple[str, int]

_SO_ORIGINAL_DST = 80
_SOCKADDR = struct.Struct("=H2s4s8x")
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_PROXY_V2, _TCP_OVER_IPV4 = 0x21, 0x11
_V2 = struct.Struct("!12sBBH4s4sHH")


def asked_address(sock: Socket) -> Address:
    """The address that the client of an accepted connection asked, before any rule redirected it."""
    try:
        raw = sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, _SOCKADDR.size)
    except OSError:  # nothing redirected it
        address: Address = sock.getsockname()
        return address
    _, port, host = _SOCKADDR.unpack(raw)
    return socket.inet_ntoa(host), int.from_bytes(port, "big")


def header(version: int, client: Address, asked: Address) -> bytes:
    if version == 1:
        return f"PROXY TCP4 {client[0]} {asked[0]} {client[1]} {asked[1]}\r\n".encode()
    source, destination = socket.inet_aton(client[0]), socket.inet_aton(asked[0])
    return _V2.pack(_SIGNATURE, _PROXY_V2, _TCP_OVER_IPV4, 12, source, destination, client[1], asked[1])
