"""The node's ports that the proxy binds: proxy ports to which REDIRECT rules lead, and node ports held open.

Proxy ports lie outside the range from which the kernel takes source ports, so that no outgoing connection of the
node sits on one when it is needed again. A restarted proxy gets the same ones back.
"""

import errno
import logging
import random
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from component_base.values import PortRange
from kube_proxy.dataplane.admission import BACKLOG
from kube_proxy.dataplane.stream import set_keepalive

log = logging.getLogger(__name__)

PREFERRED = PortRange(20000, 29999)
NODE_PORTS = PortRange(30000, 32767)
"""Where the apiserver takes node ports from by default."""
LOCAL_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
RESERVED_PORTS = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")

_TYPES = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


class PortsExhausted(Exception):
    """No proxy port is available now."""


class PortTaken(Exception):
    """Someone else on this node holds the port."""


def local_port_range() -> PortRange:
    """The kernel's range of source ports in this network namespace."""
    first, last = map(int, LOCAL_PORT_RANGE.read_text().split())
    return PortRange(first, last)


def overlap(a: PortRange, b: PortRange) -> bool:
    return a.first <= b.last and b.first <= a.last


def default_proxy_ports(local: PortRange) -> PortRange:
    """The widest range that overlaps neither the kernel's source ports nor the node ports; ``PREFERRED`` if that does not."""
    if not overlap(PREFERRED, local):
        return PREFERRED
    gaps, first = [], 1024
    for taken in (*sorted([local, NODE_PORTS]), PortRange(65536, 65536)):
        gaps.append(PortRange(first, taken.first - 1))
        first = max(first, taken.last + 1)
    return max(gaps, key=lambda gap: gap.last - gap.first)


def reserved_ports(text: str) -> list[PortRange]:
    """The ranges in ``ip_local_reserved_ports``, such as ``8080,30000-32767``."""
    pairs = (part.strip().partition("-") for part in text.split(",") if part.strip())
    return [PortRange(int(first), int(last or first)) for first, _, last in pairs]


def at_risk(ports: PortRange, local: PortRange, reserved: Iterable[PortRange]) -> bool:
    """Whether the kernel may use one of ``ports`` as a source port."""
    first, last = max(ports.first, local.first), min(ports.last, local.last)
    for taken in sorted(reserved):
        if taken.first <= first <= taken.last:
            first = taken.last + 1
    return first <= last


def warn_of_overlaps(proxy_ports: PortRange, local: PortRange) -> None:
    reserved = reserved_ports(RESERVED_PORTS.read_text() if RESERVED_PORTS.exists() else "")
    for what, ports in (("node ports", NODE_PORTS), ("proxy ports", proxy_ports)):
        if at_risk(ports, local, reserved):
            log.warning(
                "%s %s overlap ip_local_port_range %s: an outgoing connection may take one; "
                "add them to net.ipv4.ip_local_reserved_ports",
                what, ports, local,
            )  # fmt: skip


class Ports:
    """Binds and remembers. The sockets that it returns belong to the caller."""

    def __init__(self, bind_address: str, proxy_ports: PortRange) -> None:
        self._address = bind_address
        self._range = proxy_ports
        self._next = random.randrange(proxy_ports.first, proxy_ports.last + 1)
        self._adopted: dict[tuple[str, str], socket.socket] = {}

    def adopt(self, redirects: Mapping[tuple[str, str], int]) -> None:
        """Bind again the ports that rules of an earlier run lead to, so that clients wait instead of being refused."""
        for (name, protocol), port in redirects.items():
            try:
                self._adopted[name, protocol] = self._bind_proxy_port(protocol, port)
            except OSError as exc:
                log.info("%s: proxy port %d of the last run is unavailable: %s", name, port, exc)
        if self._adopted:
            log.info("%d proxy ports of the last run bound again", len(self._adopted))

    def release_unclaimed(self) -> None:
        """Close adopted ports that no service has asked for."""
        for sock in self._adopted.values():
            sock.close()
        self._adopted.clear()

    def open_proxy_port(self, name: str, protocol: str) -> socket.socket:
        """A socket that listens (TCP) or is bound (UDP), on the port of the last run if there was one.

        Raises:
            PortsExhausted: every port of the range is taken, or the process is out of descriptors.
        """
        if sock := self._adopted.pop((name, protocol), None):
            return sock
        for port in self._candidates():
            try:
                return self._bind_proxy_port(protocol, port)
            except OSError as exc:
                if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise PortsExhausted(f"proxy port {port}: {exc.strerror}") from exc
        raise PortsExhausted(f"no free proxy port in {self._range}")

    def hold_node_port(self, protocol: str, port: int) -> socket.socket:
        """Bind a node port, so that nobody else on the node takes it; rules redirect its traffic.

        Raises:
            PortTaken: somebody else has.
        """
        sock = socket.socket(socket.AF_INET, _TYPES[protocol])
        try:
            sock.bind((self._address, port))
        except OSError as exc:
            sock.close()
            raise PortTaken(f"{protocol} port {port}: {exc.strerror}") from exc
        return sock

    def hold_address(self, address: str, protocol: str, port: int) -> socket.socket | None:
        """Bind a port of one of the node's own addresses, so that its traffic is nobody else's; None if it is no such address.

        Raises:
            PortTaken: somebody else has.
        """
        sock = socket.socket(socket.AF_INET, _TYPES[protocol])
        try:
            sock.bind((address, port))
        except OSError as exc:
            sock.close()
            if exc.errno == errno.EADDRNOTAVAIL:
                return None
            raise PortTaken(f"{exc.strerror}") from exc
        return sock

    def _candidates(self) -> Iterable[int]:
        size = self._range.last - self._range.first + 1
        for _ in range(size):
            self._next = self._range.first + (self._next + 1 - self._range.first) % size
            yield self._next

    def _bind_proxy_port(self, protocol: str, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, _TYPES[protocol])
        try:
            if protocol == "TCP":
                # Accepted connections inherit all of these, which saves calls for each of them.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                set_keepalive(sock)
                sock.bind((self._address, port))
                sock.listen(BACKLOG)
            else:
                sock.bind((self._address, port))
        except OSError:
            sock.close()
            raise
        return sock
