"""Which addresses lab number n uses, and which numbers are free on this host.

Pure: routes come in as data. Lab n of 16 takes 100.64.n.0/24 for its machines (from the range for
carrier-grade NAT, which neither homes nor offices use) and 10.(128+n).0.0/16 for its pods. Both must be
unknown to the host. Services live in 10.0.0.0/16 in every lab: the host never gets a route to them.
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

# A route as wide as this is a site's or a VPN's way out, not a network that is in use as a whole;
# the lab's own, longer prefixes win over it inside the namespaces and are never seen outside.
WIDE = 8
FIRST_NODE = 10


@dataclass(frozen=True)
class Addresses:
    """The addresses of lab ``index`` (0 to 15)."""

    index: int

    @property
    def network(self) -> IPv4Network:
        """Where the lab's machines are."""
        return IPv4Network(f"100.64.{self.index}.0/24")

    @property
    def host(self) -> IPv4Address:
        """The host's end of the one cable into the lab."""
        return self.network[1]

    @property
    def master(self) -> IPv4Address:
        return self.network[2]

    def node(self, number: int) -> IPv4Address:
        """Nodes count from 1."""
        return self.network[FIRST_NODE + number - 1]

    @property
    def cluster_cidr(self) -> IPv4Network:
        """Where the pods are; the node IPAM controller cuts it into a range for each node."""
        return IPv4Network(f"10.{128 + self.index}.0.0/16")

    @property
    def interface(self) -> str:
        """The host's end as a network interface."""
        return f"peapod{self.index}"


@dataclass(frozen=True)
class Route:
    """A network that the host knows, and through which interface."""

    network: IPv4Network
    device: str


def parse_routes(routes: Iterable[dict[str, object]]) -> list[Route]:
    """The networks in the output of ``ip -json -4 route show table all``; default routes are left out."""
    found = []
    for route in routes:
        destination = str(route.get("dst", "default"))
        if destination != "default":
            found.append(Route(IPv4Network(destination, strict=False), str(route.get("dev", ""))))
    return found


def conflict(addresses: Addresses, routes: Sequence[Route], own_interface: str = "") -> str | None:
    """What of the host's overlaps this lab's ranges, as half a sentence, or None.

    ``own_interface`` is the lab's own end on the host, when the lab is up already.
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
    """The first lab number that neither the host's routes nor other labs (``taken``) use.

    Raises LabError when all of them are in use.
    """
    claimed = set(taken)
    reason = "other labs hold them"
    for index in range(LABS):
        if index in claimed:
            continue
        clash = conflict(Addresses(index), routes)
        if clash is None:
            return Addresses(index)
        reason = clash
    raise LabError(f"all {LABS} address ranges for labs are in use: {reason}")
