"""Which chains kube-proxy has, declared once: making, verifying and removing them all derive from it. No I/O.

A rule is tagged with a comment, ``namespace/name:port`` for a service's, so that a restarted proxy recognizes its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kube_proxy.iptables.rules import Jump, Redirect, Rule

NAT, FILTER = "nat", "filter"


@dataclass(frozen=True)
class Chain:
    """A chain of ours, and the built-in chains that lead to it."""

    table: str
    name: str
    entered_from: tuple[str, ...]
    why: str
    dst_type_local: bool = False
    """Entered by packets to an address of this node only."""
    not_dnat: bool = False
    """Entered only by packets whose destination no rule has changed."""
    last: bool = False
    """Entered after all other rules of the built-in chain that are there when the jump is made, else before."""
    ordered: bool = False
    """The order of its rules counts."""

    @property
    def jump(self) -> Rule:
        return Rule(Jump(self.name), comment=self.why, dst_type_local=self.dst_type_local, not_dnat=self.not_dnat)


PORTALS_CONTAINER = Chain(NAT, "KUBE-PORTALS-CONTAINER", ("PREROUTING",), "handle ClusterIPs; before NodePorts")
PORTALS_HOST = Chain(NAT, "KUBE-PORTALS-HOST", ("OUTPUT",), "handle ClusterIPs; before NodePorts")
NODEPORT_CONTAINER = Chain(
    NAT, "KUBE-NODEPORT-CONTAINER", ("PREROUTING",), "handle service NodePorts; last", dst_type_local=True, last=True
)
NODEPORT_HOST = Chain(
    NAT, "KUBE-NODEPORT-HOST", ("OUTPUT",), "handle service NodePorts; last", dst_type_local=True, last=True
)
PORTALS_REJECT = Chain(FILTER, "KUBE-PORTALS-REJECT", ("FORWARD", "OUTPUT"), "refuse what no service catches")
PROXY_PORTS = Chain(
    FILTER, "KUBE-PROXY-PORTS", ("INPUT",), "proxy ports are for redirected clients only", not_dnat=True
)

USERSPACE_CHAINS = (PORTALS_CONTAINER, PORTALS_HOST, NODEPORT_CONTAINER, NODEPORT_HOST, PORTALS_REJECT, PROXY_PORTS)
"""Of userspace mode."""

SERVICES = Chain(NAT, "KUBE-SERVICES", ("PREROUTING", "OUTPUT"), "kubernetes service portals", ordered=True)
NODE_PORTS = Chain(NAT, "KUBE-NODEPORTS", (), "", ordered=True)
MARK_MASQ = Chain(NAT, "KUBE-MARK-MASQ", (), "", ordered=True)
POSTROUTING = Chain(NAT, "KUBE-POSTROUTING", ("POSTROUTING",), "kubernetes postrouting rules", ordered=True)
SERVICES_REJECT = Chain(
    FILTER, "KUBE-SERVICES-REJECT", ("INPUT", "FORWARD", "OUTPUT"), "refuse what no endpoint serves", ordered=True
)
IPTABLES_CHAINS = (SERVICES, NODE_PORTS, MARK_MASQ, POSTROUTING, SERVICES_REJECT)
"""Of iptables mode, which has further ones for each service port and each endpoint."""

ALL_CHAINS = (*USERSPACE_CHAINS, *IPTABLES_CHAINS)
_NAMES = frozenset(chain.name for chain in ALL_CHAINS)

PREFIXES = ("KUBE-SVC-", "KUBE-SEP-")
"""Of chains that iptables mode has for each service port and each endpoint."""


def is_ours(chain: str) -> bool:
    return chain in _NAMES or chain.startswith(PREFIXES)


RuleSet = Mapping[Chain, Sequence[Rule]]
"""All rules of our chains; a chain that is not named is empty."""


def redirects(rules: Iterable[Rule]) -> dict[tuple[str, str], int]:
    """(portal name, protocol) -> the proxy port that rules lead to."""
    return {
        (rule.comment, rule.protocol.upper()): rule.target.port
        for rule in rules
        if isinstance(rule.target, Redirect) and rule.protocol
    }


def has_iptables_mode(rules: Iterable[Rule]) -> bool:
    """Whether some of the rules are iptables mode's."""
    names = {chain.name for chain in IPTABLES_CHAINS}
    targets = (rule.target.chain for rule in rules if isinstance(rule.target, Jump))
    return any(name in names or name.startswith(PREFIXES) for name in targets)


def has_userspace_mode(rules: Iterable[Rule]) -> bool:
    """Whether some of the rules are userspace mode's."""
    return any(isinstance(rule.target, Redirect) for rule in rules)
