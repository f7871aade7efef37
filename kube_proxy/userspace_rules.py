"""The rules of userspace mode: what is redirected to proxy ports, and what is refused. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

from kube_proxy.iptables import Redirect, Reject, RejectWith, Rule
from kube_proxy.iptables.chains import (
    NODEPORT_CONTAINER,
    NODEPORT_HOST,
    PORTALS_CONTAINER,
    PORTALS_HOST,
    PORTALS_REJECT,
    USERSPACE_CHAINS,
    Chain,
)
from kube_proxy.iptables.rules import ANY


@dataclass(frozen=True)
class Portal:
    """The destinations that are redirected to one proxy port: addresses with the service's own port, and a node port."""

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
    """``addresses`` and ``node_port`` redirect neither pods nor the node itself; the following ones do."""
    insider_addresses: tuple[str, ...] = ()
    insider_node_port: int | None = None


@dataclass
class RuleSetBuilder:
    """Collects the rules of all portals, in the order of the calls."""

    node_port_addresses: Sequence[IPv4Network] = ()
    """Node ports answer on these addresses only; on all of the node's own when empty."""
    cluster_cidr: IPv4Network | None = None
    """Where pods have their addresses; without it they cannot be distinguished from clients outside."""
    rules: dict[Chain, list[Rule]] = field(default_factory=lambda: {chain: [] for chain in USERSPACE_CHAINS})

    def add_portal(self, portal: Portal) -> None:
        add = self._add_for_outsiders if portal.outsiders_only else self._add
        for rule in self._by_address(portal, portal.addresses):
            add(rule, PORTALS_CONTAINER, PORTALS_HOST)
        for rule in self._by_address(portal, portal.insider_addresses):
            self._add_for_insiders(rule, PORTALS_CONTAINER, PORTALS_HOST)
        for address in portal.guarded:
            self._restrict_sources(portal, IPv4Network(address))
        for rule in self._by_node_port(portal, portal.node_port):
            add(rule, NODEPORT_CONTAINER, NODEPORT_HOST)
        for rule in self._by_node_port(portal, portal.insider_node_port):
            self._add_for_insiders(rule, NODEPORT_CONTAINER, NODEPORT_HOST)

    def _by_address(self, portal: Portal, addresses: Iterable[str]) -> Iterator[Rule]:
        for address in addresses:
            network = IPv4Network(address)
            yield Rule(Redirect(portal.proxy_port), portal.name, portal.protocol.lower(), network, portal.port)

    def _by_node_port(self, portal: Portal, number: int | None) -> Iterator[Rule]:
        for network in self.node_port_addresses or (ANY,) if number else ():
            yield Rule(Redirect(portal.proxy_port), portal.name, portal.protocol.lower(), network, number)

    def _add_for_outsiders(self, rule: Rule, container: Chain, host: Chain) -> None:
        self._add(replace(rule, not_source=self.cluster_cidr), container)

    def _add_for_insiders(self, rule: Rule, container: Chain, host: Chain) -> None:
        if self.cluster_cidr:
            self._add(replace(rule, source=self.cluster_cidr), container)
        self._add(rule, host)

    def _restrict_sources(self, portal: Portal, address: IPv4Network) -> None:
        """Clients of the ranges are redirected; all others are refused."""
        protocol = portal.protocol.lower()
        for source in portal.source_ranges:
            target = Redirect(portal.proxy_port)
            self._add(
                Rule(target, portal.name, protocol, address, portal.port, source=source),
                PORTALS_CONTAINER,
                PORTALS_HOST,
            )
        reject_with = RejectWith.TCP_RESET if protocol == "tcp" else RejectWith.PORT_UNREACHABLE
        self._add(Rule(Reject(reject_with), portal.name, protocol, address, portal.port), PORTALS_REJECT)

    def refuse(self, service_range: IPv4Network) -> None:
        """Whatever goes to the range and was not redirected is refused at once, and never leaves the node."""
        why = "service address or port that no service has"
        reset, unreachable = Reject(RejectWith.TCP_RESET), Reject(RejectWith.PORT_UNREACHABLE)
        self._add(Rule(reset, why, "tcp", service_range), PORTALS_REJECT)
        self._add(Rule(unreachable, why, None, service_range), PORTALS_REJECT)

    def _add(self, rule: Rule, *chains: Chain) -> None:
        for chain in chains:
            self.rules[chain].append(rule)
