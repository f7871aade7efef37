"""The PROXY protocol's header, by which a backend learns who its client is and to which address it connected.

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


def original_destination(sock: Socket) -> Address:
    """The address to which the client of an accepted connection connected, before any rule redirected it."""
    try:
        raw = sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, _SOCKADDR.size)
    except OSError:  # nothing redirected it
        address: Address = sock.getsockname()
        return address
    _, port, host = _SOCKADDR.unpack(raw)
    return socket.inet_ntoa(host), int.from_bytes(port, "big")


def header(version: int, client: Address, destination: Address) -> bytes:
    if version == 1:
        return f"PROXY TCP4 {client[0]} {destination[0]} {client[1]} {destination[1]}\r\n".encode()
    addresses = socket.inet_aton(client[0]), socket.inet_aton(destination[0])
    return _V2.pack(_SIGNATURE, _PROXY_V2, _TCP_OVER_IPV4, 12, *addresses, client[1], destination[1])
