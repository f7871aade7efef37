"""Which chains kube-proxy has and what stands in them. Pure values, no I/O.

The chains are declared once, in ``CHAINS``; making, verifying and removing them all derive from it. A rule is
tagged with a comment, ``namespace/name:port`` for a service's, so that a restarted proxy knows its own again.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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


Target = Redirect | Reject | Jump


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


@dataclass
class RuleSetBuilder:
    """Collects the rules of all portals, each in the order of the calls."""

    node_port_addresses: Sequence[IPv4Network] = ()
    """Node ports answer on these addresses only; on all of the node's own when empty."""
    rules: dict[Chain, list[Rule]] = field(default_factory=lambda: {chain: [] for chain in CHAINS})

    def add_portal(self, portal: Portal) -> None:
        protocol, target = portal.protocol.lower(), Redirect(portal.proxy_port)
        for address in portal.addresses:
            rule = Rule(target, portal.name, protocol, IPv4Network(address), portal.port)
            self._add(rule, PORTALS_CONTAINER, PORTALS_HOST)
        if portal.node_port:
            for network in self.node_port_addresses or (ANY,):
                rule = Rule(target, portal.name, protocol, network, portal.node_port)
                self._add(rule, NODEPORT_CONTAINER, NODEPORT_HOST)

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
