"""Which addresses lab number n uses, and which numbers are free on this host.

Pure: routes are arguments. Lab n of 16 uses 100.64.n.0/24 for its machines (from the range for carrier-grade NAT, which
neither homes nor offices use) and 10.(128+n).0.0/16 for its pods. The host must have no route to either. Services use
10.0.0.0/16 in every lab: the host never gets a route to them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from deploy.lab.errors import LabError

LABS = 16
MAX_NODES = 100
SERVICE_RANGE = IPv4Network("10.0.0.0/16")
CLUSTER_DNS = SERVICE_RANGE[10]
NODE_PORTS = "30000-32767"
CLUSTER_DOMAIN = "cluster.local"

# A route this wide is a site's or a VPN's way out and not a network in use as a whole. The lab's longer prefixes
# take precedence over it inside the namespaces and are never visible outside.
WIDE = 8
FIRST_NODE = 10


@dataclass(frozen=True)
class Addresses:
    """The addresses of lab ``index`` (0 to 15)."""

    index: int

    @property
    def network(self) -> IPv4Network:
        """The network of the lab's machines."""
        return IPv4Network(f"100.64.{self.index}.0/24")

    @property
    def host(self) -> IPv4Address:
        """The host's address in the lab's network."""
        return self.network[1]

    @property
    def master(self) -> IPv4Address:
        return self.network[2]

    def node(self, number: int) -> IPv4Address:
        """Nodes count from 1."""
        return self.network[FIRST_NODE + number - 1]

    @property
    def cluster_cidr(self) -> IPv4Network:
        """The pods' range, which the node IPAM controller divides among the nodes."""
        return IPv4Network(f"10.{128 + self.index}.0.0/16")

    @property
    def interface(self) -> str:
        """The host's interface in the lab's network."""
        return f"peapod{self.index}"


@dataclass(frozen=True)
class Route:
    """A network to which the host has a route, and its interface."""

    network: IPv4Network
    device: str


def parse_routes(routes: Iterable[dict[str, object]]) -> list[Route]:
    """The networks in the output of ``ip -json -4 route show table all``; default routes are left out."""
    parsed = []
    for route in routes:
        destination = str(route.get("dst", "default"))
        if destination != "default":
            parsed.append(Route(IPv4Network(destination, strict=False), str(route.get("dev", ""))))
    return parsed


def conflict(addresses: Addresses, routes: Sequence[Route], own_interface: str = "") -> str | None:
    """Which route of the host overlaps this lab's ranges, as half a sentence, or None.

    ``own_interface`` is the lab's interface on the host, if the lab is up already.
    """
    for route in routes:
        if route.network.prefixlen <= WIDE or (own_interface and route.device == own_interface):
            continue
        for network in (addresses.network, addresses.cluster_cidr):
            if network.overlaps(route.network):
                where = f" (interface {route.device})" if route.device else ""
                return f"{network} overlaps {route.network}, which this host uses{where}"
    return None


def first_free(routes: Sequence[Route], taken: Iterable[int] = ()) -> Addresses:
    """The first lab number that is free: not ``taken`` by other labs, and without conflicting routes on the host.

    Raises LabError when all are in use.
    """
    claimed = set(taken)
    reason = "other labs use them"
    for index in range(LABS):
        if index in claimed:
            continue
        clash = conflict(Addresses(index), routes)
        if clash is None:
            return Addresses(index)
        reason = clash
    raise LabError(f"all {LABS} address ranges for labs are in use: {reason}")
