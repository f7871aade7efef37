"""What parent and worker tell each other over their socket pair: msgpack frames, each with its length before it.

A frame that announces a socket carries its descriptor as ancillary data, in the order of the frames. The parent's
messages are level, not edge: saying the same again is harmless, and a new worker is told everything from the start.
"""

import array
import socket
import struct
from collections import deque
from collections.abc import Iterator

import msgspec

Backend = tuple[str, int]
"""Address and port of one endpoint."""

_LENGTH = struct.Struct("=I")
_INT_SIZE = array.array("i").itemsize
MAX_DESCRIPTORS = 200
"""Descriptors taken from one read; the kernel allows 253 in one message."""
_READ = 256 * 1024


class Serve(msgspec.Struct, tag=True, frozen=True):
    """Take connections (TCP) or datagrams (UDP) from the socket that comes along."""

    port: int
    """The parent's number for this service port."""
    name: str
    protocol: str
    affinity_seconds: int | None


class Backends(msgspec.Struct, tag=True, frozen=True):
    """The endpoints of a service port, from now on."""

    port: int
    backends: tuple[Backend, ...]


class Stop(msgspec.Struct, tag=True, frozen=True):
    """Take no new connections; those that are open go on."""

    port: int


class Mark(msgspec.Struct, tag=True, frozen=True):
    """Asks for an ``Applied`` once everything before it is in effect."""

    version: int


class Applied(msgspec.Struct, tag=True, frozen=True):
    version: int


class Counters(msgspec.Struct, tag=True):
    """What happened in a worker since it last told, and how many connections are open now."""

    accepted: int = 0
    refused: int = 0
    """Connections reset because the service had no endpoint."""
    failed: int = 0
    """Connections reset because no backend could be reached."""
    dial_errors: int = 0
    dial_timeouts: int = 0
    bytes_to_backends: int = 0
    bytes_to_clients: int = 0
    datagrams_to_backends: int = 0
    datagrams_to_clients: int = 0
    open: int = 0

    def any(self) -> bool:
        return any((self.accepted, self.bytes_to_backends, self.bytes_to_clients, self.datagrams_to_backends))


Order = Serve | Backends | Stop | Mark
Report = Applied | Counters

_encoder = msgspec.msgpack.Encoder()


def frame(message: Order | Report) -> bytes:
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Collects what was read into whole frames."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._data += data
        at = 0
        while len(self._data) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data, at)
            if len(self._data) - at < _LENGTH.size + length:
                break
            at += _LENGTH.size
            yield bytes(self._data[at : at + length])
            at += length
        del self._data[:at]


class OrderReader:
    """The worker's end: orders with their sockets."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._frames = Frames()
        self._descriptors: deque[int] = deque()
        self._decode = msgspec.msgpack.Decoder(Order).decode

    def read(self) -> list[tuple[Order, int | None]] | None:
        """What has arrived, each ``Serve`` with its descriptor; None when the parent is gone."""
        space = socket.CMSG_SPACE(MAX_DESCRIPTORS * _INT_SIZE)
        try:
            data, ancillary, _, _ = self._channel.recvmsg(_READ, space, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        if not data:
            return None
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors = array.array("i")
                descriptors.frombytes(content[: len(content) - len(content) % _INT_SIZE])
                self._descriptors.extend(descriptors)
        orders = [self._decode(body) for body in self._frames.feed(data)]
        return [(order, self._descriptors.popleft() if isinstance(order, Serve) else None) for order in orders]
