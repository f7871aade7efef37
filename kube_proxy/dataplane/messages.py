"""The messages of parent and worker over their socket pair: msgpack frames, each with its length before it.

A frame that announces a socket carries its descriptor as ancillary data, in the order of the frames. The parent's
messages are level, not edge: repeating one is harmless, and a new worker is sent everything from the start.
"""

import array
import socket
import struct
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from typing import Literal

import msgspec

Backend = tuple[str, int]
"""Address and port of one endpoint."""

_LENGTH = struct.Struct("=I")
_INT_SIZE = array.array("i").itemsize
MAX_DESCRIPTORS = 200
"""Descriptors taken from one read; the kernel allows 253 in one message."""
_READ = 256 * 1024


class PortSettings(msgspec.Struct, frozen=True):
    """How a service port is to be served."""

    affinity_seconds: int | None = None
    """A client stays at its backend until it was away for so long; None for no affinity."""
    proxy_protocol: int = 0
    """Version of the PROXY header that backends get before the client's first byte; 0 for none."""


class Serve(msgspec.Struct, tag=True, frozen=True):
    """Take connections (TCP) or datagrams (UDP) from the socket that comes along."""

    port: int
    """The parent's number for this service port."""
    name: str
    protocol: str
    settings: PortSettings


Choice = tuple[str, Backend | None, float]
"""A client, its backend (None: no longer), and when it last connected, in monotonic seconds. The clock is
the kernel's, the same in all processes."""


class Remember(msgspec.Struct, tag=True, frozen=True):
    """The backends that an earlier worker chose for clients."""

    port: int
    choices: tuple[Choice, ...]


class Backends(msgspec.Struct, tag=True, frozen=True):
    """The endpoints of a service port, from now on."""

    port: int
    backends: tuple[Backend, ...]


class Stop(msgspec.Struct, tag=True, frozen=True):
    """Take no new connections; those that are open go on."""

    port: int


class PolicyRule(msgspec.Struct, frozen=True):
    """Lets pods that are isolated in one direction talk to peers all the same."""

    direction: Literal["ingress", "egress"]
    pods: str
    """The set of the isolated pods that it is about."""
    peers: str | None
    """The set, or the blocks, of who may talk with them; None for everybody."""
    protocol: str | None = None
    """TCP, UDP or SCTP; None for all traffic."""
    first_port: int = 0
    last_port: int = 0
    """The server's ports, whichever side the rule is about; 0 for all."""


class Policies(msgspec.Struct, tag=True, frozen=True):
    """All network policies of the cluster, resolved to addresses."""

    isolated: dict[Literal["ingress", "egress"], frozenset[str]]
    """Addresses of pods for which, in this direction, nothing is allowed but what rules allow."""
    nodes: frozenset[str]
    """Addresses of nodes, which reach every pod."""
    sets: dict[str, frozenset[str]]
    """Addresses of pods, by name."""
    blocks: dict[str, tuple[str, ...]]
    """Networks that do not overlap, by name."""
    rules: tuple[PolicyRule, ...]
    own_range: str = ""
    """This node's pod CIDR."""
    pods: frozenset[str] = frozenset()
    """Addresses of all pods. In ``own_range`` others are pods that the API does not know yet."""
    restricted: tuple[Literal["ingress", "egress"], ...] = ()
    """The directions in which there are policies: in these, unknown pods may be isolated and count as such."""


class Guard(msgspec.Struct, tag=True, frozen=True):
    """Which connections policies allow, from now on; None while there are no policies."""

    policies: Policies | None


class Mark(msgspec.Struct, tag=True, frozen=True):
    """Asks for an ``Applied`` once everything before it is in effect."""

    version: int


class Applied(msgspec.Struct, tag=True, frozen=True):
    version: int


class Counters(msgspec.Struct, tag=True):
    """What happened in a worker since its last report, and how many connections are open now."""

    accepted: int = 0
    refused: int = 0
    """Connections reset because the service had no endpoint."""
    denied: int = 0
    """Connections reset, and datagrams dropped, because network policies allow the client none of the backends."""
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
        return any((
            self.accepted, self.refused, self.denied, self.failed, self.bytes_to_backends, self.bytes_to_clients,
            self.datagrams_to_backends, self.datagrams_to_clients,
        ))  # fmt: skip


class Choices(msgspec.Struct, tag=True, frozen=True):
    """The backends of clients of a port with affinity that have changed since the last such message."""

    port: int
    choices: tuple[Choice, ...]


CONNECT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class BackendStats(msgspec.Struct):
    """What happened between a service port and one backend since the last report."""

    connections: int = 0
    """Connections made, or UDP flows begun."""
    errors: int = 0
    timeouts: int = 0
    bytes_to_backend: int = 0
    bytes_to_client: int = 0
    connect_seconds: float = 0.0
    connect_latency: list[int] = msgspec.field(default_factory=lambda: [0] * (len(CONNECT_BUCKETS) + 1))
    open: int = 0
    """Connections or flows open now: a level, not a difference."""
    told_open: int = 0
    """The level that the parent knows."""

    @property
    def is_news(self) -> bool:
        return self.open != self.told_open or any(
            (self.connections, self.errors, self.timeouts, self.bytes_to_backend, self.bytes_to_client)
        )

    def clear(self) -> None:
        """The parent has it all: start again."""
        self.connections = self.errors = self.timeouts = self.bytes_to_backend = self.bytes_to_client = 0
        self.connect_seconds = 0.0
        self.connect_latency = [0] * (len(CONNECT_BUCKETS) + 1)
        self.told_open = self.open

    def connected(self, seconds: float) -> None:
        self.connections += 1
        self.connect_seconds += seconds
        self.connect_latency[bisect_left(CONNECT_BUCKETS, seconds)] += 1


class PortStats(msgspec.Struct, tag=True):
    """What happened at one service port since the last report."""

    port: int
    refused: int = 0
    """Clients who came when there was no endpoint."""
    unreachable: int = 0
    """Clients that were reset because no backend could be reached."""
    retries: int = 0
    """Backends tried after the first one."""
    backends: dict[str, BackendStats] = msgspec.field(default_factory=dict)
    """By ``address:port``."""

    @property
    def is_news(self) -> bool:
        return bool(self.refused or self.unreachable or self.retries) or any(
            backend.is_news for backend in self.backends.values()
        )

    def clear(self) -> None:
        """The parent has it all: start again, and forget backends with which nothing is open."""
        self.refused = self.unreachable = self.retries = 0
        for backend in self.backends.values():
            backend.clear()
        self.backends = {name: backend for name, backend in self.backends.items() if backend.open}

    def of(self, backend: Backend) -> BackendStats:
        name = f"{backend[0]}:{backend[1]}"
        stats = self.backends.get(name)
        if stats is None:
            stats = self.backends[name] = BackendStats()
        return stats


Order = Serve | Remember | Backends | Stop | Guard | Mark
Report = Applied | Counters | Choices | PortStats

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
