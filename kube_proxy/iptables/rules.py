"""Which chains kube-proxy has and what stands in them. Pure values, no I/O.

The chains are declared once, in ``CHAINS``; making, verifying and removing them all derive from it. A rule is
tagged with a comment, ``namespace/name:port`` for a service's, so that a restarted proxy knows its own again.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

ANY = IPv4Network("0.0.0.0/0")

NAT, FILTER = "nat", "filter"


class RejectWith(enum.Enum):
    """How a packet is refused; the values are the kernel's (``enum ipt_reject_with``)."""

    PORT_UNREACHABLE = 3
    TCP_RESET = 7


@dataclass(frozen=True)
class Redirect:
    """To a port of this node: the incoming interface's address, or 127.0.0.1 for the node's own packets."""

    port: int


@dataclass(frozen=True)
class Reject:
    how: RejectWith


@dataclass(frozen=True)
class Jump:
    chain: str


@dataclass(frozen=True)
class Dnat:
    """To an endpoint."""

    address: str
    port: int


@dataclass(frozen=True)
class Mark:
    """So that the packet leaves with the node's own address."""


@dataclass(frozen=True)
class Masquerade:
    """The node's own address instead of the sender's."""


Target = Redirect | Reject | Jump | Dnat | Mark | Masquerade

MARK = 0x4000
MARK_TEXT = "0x4000/0x4000"


@dataclass(frozen=True)
class Recent:
    """The kernel's list of clients that were sent to one endpoint."""

    name: str
    seconds: int | None = None
    """Only clients that came within so long; None to note the client."""


@dataclass(frozen=True)
class Rule:
    """One rule of the few forms that kube-proxy writes; equal rules do the same."""

    target: Target
    comment: str
    protocol: str | None = None
    """tcp, udp, or None for any."""
    destination: IPv4Network = ANY
    destination_port: int | None = None
    to_local_address: bool = False
    """Only packets to an address of this node (``addrtype --dst-type LOCAL``)."""
    source: IPv4Network = ANY
    not_source: IPv4Network | None = None
    marked: bool = False
    one_in: int = 1
    """At random one packet out of so many."""
    recent: Recent | None = None
    from_local_address: bool = False
    """Only packets from an address of this node (``addrtype --src-type LOCAL``)."""


@dataclass(frozen=True)
class Chain:
    """A chain of ours, and the built-in chains that lead to it."""

    table: str
    name: str
    entered_from: tuple[str, ...]
    why: str
    to_local_address: bool = False
    last: bool = False
    """Entered after all other rules of the built-in chain that are there when the jump is made, else before."""
    ordered: bool = False
    """The order of its rules counts."""

    @property
    def jump(self) -> Rule:
        return Rule(Jump(self.name), comment=self.why, to_local_address=self.to_local_address)


PORTALS_CONTAINER = Chain(NAT, "KUBE-PORTALS-CONTAINER", ("PREROUTING",), "handle ClusterIPs; before NodePorts")
PORTALS_HOST = Chain(NAT, "KUBE-PORTALS-HOST", ("OUTPUT",), "handle ClusterIPs; before NodePorts")
NODEPORT_CONTAINER = Chain(
    NAT, "KUBE-NODEPORT-CONTAINER", ("PREROUTING",), "handle service NodePorts; last", to_local_address=True, last=True
)
NODEPORT_HOST = Chain(
    NAT, "KUBE-NODEPORT-HOST", ("OUTPUT",), "handle service NodePorts; last", to_local_address=True, last=True
)
PORTALS_REJECT = Chain(FILTER, "KUBE-PORTALS-REJECT", ("FORWARD", "OUTPUT"), "refuse what no service catches")

CHAINS = (PORTALS_CONTAINER, PORTALS_HOST, NODEPORT_CONTAINER, NODEPORT_HOST, PORTALS_REJECT)
"""Of userspace mode."""

SERVICES = Chain(NAT, "KUBE-SERVICES", ("PREROUTING", "OUTPUT"), "kubernetes service portals", ordered=True)
NODE_PORTS = Chain(NAT, "KUBE-NODEPORTS", (), "", ordered=True)
MARK_MASQ = Chain(NAT, "KUBE-MARK-MASQ", (), "", ordered=True)
POSTROUTING = Chain(NAT, "KUBE-POSTROUTING", ("POSTROUTING",), "kubernetes postrouting rules", ordered=True)
SERVICES_REJECT = Chain(
    FILTER, "KUBE-SERVICES-REJECT", ("INPUT", "FORWARD", "OUTPUT"), "refuse what no endpoint serves", ordered=True
)
KERNEL_CHAINS = (SERVICES, NODE_PORTS, MARK_MASQ, POSTROUTING, SERVICES_REJECT)
"""Of kernel mode, which has more of them for each service port and each endpoint."""
_NAMES = frozenset(chain.name for chain in (*CHAINS, *KERNEL_CHAINS))

PREFIXES = ("KUBE-SVC-", "KUBE-SEP-")
"""Of chains that kernel mode has for each service port and each endpoint."""


def is_ours(chain: str) -> bool:
    return chain in _NAMES or chain.startswith(PREFIXES)


RuleSet = Mapping[Chain, Sequence[Rule]]
"""All rules of our chains; a chain that is not named is empty."""


@dataclass(frozen=True)
class Portal:
    """What leads to one proxy port: addresses with the service's own port, and a node port."""

    name: str
    protocol: str
    addresses: tuple[str, ...]
    port: int
    node_port: int | None
    proxy_port: int
    guarded: tuple[str, ...] = ()
    """Addresses that answer clients from ``source_ranges`` only."""
    source_ranges: tuple[IPv4Network, ...] = ()
    outsiders_only: bool = False
    """Pods and the node itself are not led here by ``addresses`` and ``node_port``, but by those that follow."""
    insider_addresses: tuple[str, ...] = ()
    insider_node_port: int | None = None


@dataclass
class RuleSetBuilder:
    """Collects the rules of all portals, each in the order of the calls."""

    node_port_addresses: Sequence[IPv4Network] = ()
    """Node ports answer on these addresses only; on all of the node's own when empty."""
    cluster_cidr: IPv4Network | None = None
    """Where pods have their addresses; without it they cannot be told from clients outside."""
    rules: dict[Chain, list[Rule]] = field(default_factory=lambda: {chain: [] for chain in CHAINS})

    def add_portal(self, portal: Portal) -> None:
        add = self._lead_outsiders if portal.outsiders_only else self._add
        for rule in self._by_address(portal, portal.addresses):
            add(rule, PORTALS_CONTAINER, PORTALS_HOST)
        for rule in self._by_address(portal, portal.insider_addresses):
            self._lead_insiders(rule, PORTALS_CONTAINER, PORTALS_HOST)
        for address in portal.guarded:
            self._guard(portal, IPv4Network(address))
        for rule in self._by_node_port(portal, portal.node_port):
            add(rule, NODEPORT_CONTAINER, NODEPORT_HOST)
        for rule in self._by_node_port(portal, portal.insider_node_port):
            self._lead_insiders(rule, NODEPORT_CONTAINER, NODEPORT_HOST)

    def _by_address(self, portal: Portal, addresses: Iterable[str]) -> Iterator[Rule]:
        for address in addresses:
            network = IPv4Network(address)
            yield Rule(Redirect(portal.proxy_port), portal.name, portal.protocol.lower(), network, portal.port)

    def _by_node_port(self, portal: Portal, number: int | None) -> Iterator[Rule]:
        for network in self.node_port_addresses or (ANY,) if number else ():
            yield Rule(Redirect(portal.proxy_port), portal.name, portal.protocol.lower(), network, number)

    def _lead_outsiders(self, rule: Rule, container: Chain, host: Chain) -> None:
        self._add(replace(rule, not_source=self.cluster_cidr), container)

    def _lead_insiders(self, rule: Rule, container: Chain, host: Chain) -> None:
        if self.cluster_cidr:
            self._add(replace(rule, source=self.cluster_cidr), container)
        self._add(rule, host)

    def _guard(self, portal: Portal, address: IPv4Network) -> None:
        """Clients of the ranges are redirected; what comes from elsewhere goes on to where it is refused."""
        protocol = portal.protocol.lower()
        for source in portal.source_ranges:
            target = Redirect(portal.proxy_port)
            self._add(
                Rule(target, portal.name, protocol, address, portal.port, source=source),
                PORTALS_CONTAINER,
                PORTALS_HOST,
            )
        how = RejectWith.TCP_RESET if protocol == "tcp" else RejectWith.PORT_UNREACHABLE
        self._add(Rule(Reject(how), portal.name, protocol, address, portal.port), PORTALS_REJECT)

    def refuse(self, service_range: IPv4Network) -> None:
        """Whatever goes to the range and was not redirected is refused at once, and never leaves the node."""
        why = "service address or port that no service has"
        reset, unreachable = Reject(RejectWith.TCP_RESET), Reject(RejectWith.PORT_UNREACHABLE)
        self._add(Rule(reset, why, "tcp", service_range), PORTALS_REJECT)
        self._add(Rule(unreachable, why, None, service_range), PORTALS_REJECT)

    def _add(self, rule: Rule, *chains: Chain) -> None:
        for chain in chains:
            self.rules[chain].append(rule)


def redirects(rules: Iterable[Rule]) -> dict[tuple[str, str], int]:
    """(portal name, protocol) -> the proxy port that rules lead to."""
    return {
        (rule.comment, rule.protocol.upper()): rule.target.port
        for rule in rules
        if isinstance(rule.target, Redirect) and rule.protocol
    }


def kernel_mode_stands(rules: Iterable[Rule]) -> bool:
    """Whether rules that were found are kernel mode's."""
    names = {chain.name for chain in KERNEL_CHAINS}
    targets = (rule.target.chain for rule in rules if isinstance(rule.target, Jump))
    return any(name in names or name.startswith(PREFIXES) for name in targets)


def userspace_mode_stands(rules: Iterable[Rule]) -> bool:
    return any(isinstance(rule.target, Redirect) for rule in rules)
