"""Whether an address is this machine's own, as its kernel routes it. Asks the kernel and does not block."""

import socket
import struct
from ipaddress import ip_address
from typing import Final

# linux/netlink.h, linux/rtnetlink.h
_HEADER: Final = struct.Struct("=IHHII")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE: Final = struct.Struct("=HH")
_GET_ROUTE: Final = 26
_NEW_ROUTE: Final = 24
_REQUEST: Final = 1
_DESTINATION: Final = 1
_LOCAL: Final = 2


def is_local(address: str) -> bool:
    """Whether packets to an address would stay on this machine: one of any device, a secondary one, or loopback.

    Raises:
        ValueError: it is no address.
    """
    parsed = ip_address(address)
    ip = getattr(parsed, "ipv4_mapped", None) or parsed
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(ip.packed), _DESTINATION) + ip.packed
    route = _ROUTE.pack(family, ip.max_prefixlen, 0, 0, 0, 0, 0, 0, 0) + attribute
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(_HEADER.pack(_HEADER.size + len(route), _GET_ROUTE, _REQUEST, 1, 0) + route)
        answer = kernel.recv(4096)
    if _HEADER.unpack_from(answer)[1] != _NEW_ROUTE:  # no route leads there
        return False
    return bool(_ROUTE.unpack_from(answer, _HEADER.size)[7] == _LOCAL)
