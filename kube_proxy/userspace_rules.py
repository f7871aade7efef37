"""The rules of userspace mode: what is redirected to proxy ports, and what is refused. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

from component_base.values import PortRange
from kube_proxy.iptables import Redirect, Reject, RejectWith, Rule, RuleSet
from kube_proxy.iptables.chains import (
    NODEPORT_CONTAINER,
    NODEPORT_HOST,
    PORTALS_CONTAINER,
    PORTALS_HOST,
    PORTALS_REJECT,
    PROXY_PORTS,
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
    _rules: dict[Chain, list[Rule]] = field(default_factory=lambda: {chain: [] for chain in USERSPACE_CHAINS})
    _proxy_ports: dict[str, list[int]] = field(default_factory=lambda: {"tcp": [], "udp": []})

    @property
    def rules(self) -> RuleSet:
        return self._rules | {PROXY_PORTS: [*self._refuse_direct_clients()]}

    def add_portal(self, portal: Portal) -> None:
        self._proxy_ports[portal.protocol.lower()].append(portal.proxy_port)
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
        self._add(Rule(_refusal(protocol), portal.name, protocol, address, portal.port), PORTALS_REJECT)

    def refuse(self, service_range: IPv4Network) -> None:
        """Whatever goes to the range and was not redirected is refused at once, and never leaves the node."""
        why = "service address or port that no service has"
        for protocol in ("tcp", None):
            self._add(Rule(_refusal(protocol), why, protocol, service_range), PORTALS_REJECT)

    def _refuse_direct_clients(self) -> Iterator[Rule]:
        """Proxy ports listen on every address of the node, which must not be a way around the rules for the service.

        The chain is entered only by what was not redirected. A rule covers a run of ports: they are opened one after
        the other, so a few rules do.
        """
        for protocol, ports in self._proxy_ports.items():
            for first, last in _runs(ports):
                yield Rule(
                    _refusal(protocol),
                    "proxy ports",
                    protocol,
                    destination_port=first,
                    last_destination_port=last if last > first else None,
                )

    def _add(self, rule: Rule, *chains: Chain) -> None:
        for chain in chains:
            self._rules[chain].append(rule)


def _refusal(protocol: str | None) -> Reject:
    return Reject(RejectWith.TCP_RESET if protocol == "tcp" else RejectWith.PORT_UNREACHABLE)


def _runs(numbers: Iterable[int]) -> list[PortRange]:
    """The numbers as the fewest ranges, in order."""
    runs: list[PortRange] = []
    for number in sorted(numbers):
        if runs and number <= runs[-1].last + 1:
            runs[-1] = PortRange(runs[-1].first, number)
        else:
            runs.append(PortRange(number, number))
    return runs
