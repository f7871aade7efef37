"""Reads and removes UDP entries of the kernel's connection tracking, over netlink.

The layouts are kernel ABI (linux/netlink.h, linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h). The
``conntrack`` command does the same, but is not on every host, and takes a process for each entry that it removes.
"""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator

from kube_proxy.conntrack.stale import Entry

_NETLINK_NETFILTER = 12
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_FAMILY = struct.Struct("=BBH")  # family, version, resource
_ATTRIBUTE = struct.Struct("=HH")
_INT = struct.Struct("=i")
_NEW, _GET, _DELETE = 0x0100, 0x0101, 0x0102
_REQUEST, _ACK, _DUMP = 0x01, 0x04, 0x300
_ERROR, _DONE = 2, 3
_TUPLE_ORIG, _TUPLE_REPLY, _ID = 1, 2, 12
_NESTED = 0x8000
_TYPE = 0x3FFF
_IP, _PROTO = 1, 2
_V4_SRC, _V4_DST = 1, 2
_NUMBER, _SRC_PORT, _DST_PORT = 1, 2, 3
_UDP = 17
_READ = 1 << 18


class ConntrackError(Exception):
    """The kernel did not permit it. Without connection tracking there is nothing to remove."""


async def remove(is_unwanted: Callable[[Entry], bool]) -> int:
    """Remove the IPv4 UDP entries of this network namespace for which ``is_unwanted`` is true; how many those were.

    Raises:
        ConntrackError
    """
    return await asyncio.to_thread(_remove, is_unwanted)


def _remove(is_unwanted: Callable[[Entry], bool]) -> int:
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
            sock.settimeout(5)
            doomed = [entry for entry in _entries(sock) if is_unwanted(entry)]
            return sum(_delete(sock, entry) for entry in doomed)
    except (OSError, struct.error) as exc:
        raise ConntrackError(f"conntrack: {exc}") from exc


def _entries(sock: socket.socket) -> Iterator[Entry]:
    sock.send(_message(_GET, _REQUEST | _DUMP))
    for kind, body in _answers(sock):
        if kind == _NEW and (entry := parse(body[_FAMILY.size :])):
            yield entry


def _delete(sock: socket.socket, entry: Entry) -> bool:
    sock.send(_message(_DELETE, _REQUEST | _ACK, entry.handle))
    try:
        for _ in _answers(sock):
            pass
    except OSError as exc:
        if exc.errno != errno.ENOENT:  # gone meanwhile, as intended
            raise
        return False
    return True


def parse(attributes: bytes) -> Entry | None:
    """The entry in a message's attributes; None if it is not UDP."""
    by_type = dict(_attributes(attributes))
    if _TUPLE_ORIG not in by_type or _TUPLE_REPLY not in by_type:
        return None
    original = _tuple(by_type[_TUPLE_ORIG])
    reply = _tuple(by_type[_TUPLE_REPLY])
    if original is None or reply is None:
        return None
    handle = _attribute(_TUPLE_ORIG | _NESTED, by_type[_TUPLE_ORIG])
    if _ID in by_type:
        handle += _attribute(_ID, by_type[_ID])
    return Entry(destination=original[1], responder=reply[0], handle=handle)


def _tuple(data: bytes) -> tuple[tuple[str, int], tuple[str, int]] | None:
    """Source and destination of one direction; None if it is not UDP."""
    parts = dict(_attributes(data))
    proto = dict(_attributes(parts.get(_PROTO, b"")))
    if proto.get(_NUMBER) != bytes([_UDP]):
        return None
    address = dict(_attributes(parts.get(_IP, b"")))
    ends = [
        (socket.inet_ntoa(address[ip]), int.from_bytes(proto[port], "big"))
        for ip, port in ((_V4_SRC, _SRC_PORT), (_V4_DST, _DST_PORT))
        if ip in address and port in proto
    ]
    return (ends[0], ends[1]) if len(ends) == 2 else None


def _message(kind: int, flags: int, attributes: bytes = b"") -> bytes:
    body = _FAMILY.pack(socket.AF_INET, 0, 0) + attributes
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def _answers(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message until the kernel's last one."""
    while True:
        data, at = sock.recv(_READ), 0
        while at + _HEADER.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            body = data[at + _HEADER.size : at + length]
            if kind == _DONE:
                return
            if kind == _ERROR:
                (code,) = _INT.unpack_from(body)
                if code < 0:
                    raise OSError(-code, os.strerror(-code))
                return
            yield kind, body
            at += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & _TYPE, data[at + _ATTRIBUTE.size : at + length]
        at += max((length + 3) & ~3, _ATTRIBUTE.size)


def _attribute(kind: int, data: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + bytes(-length % 4)
