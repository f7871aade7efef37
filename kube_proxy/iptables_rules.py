"""The rules of iptables mode: what each service port adds to the chains. Pure.

A service port's rules depend on that port alone, so that they can be kept for as long as nothing about it changes: with
thousands of services, most of a sync would otherwise go into making the same rules again.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv4Network

from kube_proxy.iptables import Jump, Reject, RejectWith, Rule, RuleSet
from kube_proxy.iptables.chains import (
    IPTABLES_CHAINS,
    MARK_MASQ,
    NAT,
    NODE_PORTS,
    POSTROUTING,
    SERVICES,
    SERVICES_REJECT,
    Chain,
)
from kube_proxy.iptables.rules import ANY, Dnat, Mark, Masquerade, Recent
from kube_proxy.mode import ServedPort, Settings
from kube_proxy.services import ServicePort

_MASQUERADE = Jump(MARK_MASQ.name)
_SHARED = (SERVICES, NODE_PORTS, SERVICES_REJECT)
_network = lru_cache(maxsize=1 << 16)(IPv4Network)


@dataclass
class PortRules:
    """What one service port adds to the chains that all share, and the chains that are its own."""

    shared: dict[Chain, list[Rule]] = field(default_factory=lambda: {chain: [] for chain in _SHARED})
    insiders: dict[Chain, list[Rule]] = field(default_factory=lambda: {SERVICES: [], NODE_PORTS: []})
    """For pods and the node itself; they come before the shared ones of all ports."""
    own: dict[Chain, list[Rule]] = field(default_factory=dict)


def port_rules(served: ServedPort, insider_node_port: int | None, settings: Settings) -> PortRules:
    builder = PortRulesBuilder(settings)
    if served.backends:
        builder.serve(served, _service_chain(served))
        builder.serve_insiders(served, insider_node_port, _service_chain(served))
    else:
        builder.refuse(served)
    return builder.rules


def combine(ports: Sequence[PortRules], settings: Settings) -> RuleSet:
    """All service ports' rules, and what comes after all services."""
    rules: dict[Chain, list[Rule]] = {chain: [] for chain in IPTABLES_CHAINS}
    for port in ports:
        for chain, added in port.insiders.items():
            rules[chain] += added
    for port in ports:
        for chain, added in port.shared.items():
            rules[chain] += added
        rules |= port.own
    rules[MARK_MASQ].append(Rule(Mark(), ""))
    rules[POSTROUTING].append(Rule(Masquerade(), "kubernetes service traffic requiring SNAT", mark=True))
    rules[SERVICES].append(Rule(Jump(NODE_PORTS.name), "node ports; last", dst_type_local=True))
    why = "service address or port that no service has"
    rules[SERVICES_REJECT] += [
        Rule(Reject(RejectWith.TCP_RESET), why, "tcp", settings.service_range),
        Rule(Reject(RejectWith.PORT_UNREACHABLE), why, None, settings.service_range),
    ]
    return rules


class PortRulesBuilder:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.rules = PortRules()

    def serve(self, served: ServedPort, chain: Chain) -> None:
        spec, protocol, services = served.spec, served.spec.protocol.lower(), self.rules.shared[SERVICES]
        self.rules.own[chain] = self._balance(served)
        for address in map(_network, spec.addresses):
            services += self._masquerading(spec, address)
            services.append(Rule(Jump(chain.name), spec.name, protocol, address, spec.port))
        for address in map(_network, spec.guarded):
            services += self._masquerading(spec, address)
            for source in spec.source_ranges:
                services.append(Rule(Jump(chain.name), spec.name, protocol, address, spec.port, source=source))
            self.rules.shared[SERVICES_REJECT].append(_rejection(spec, address))
        if served.held_node_port:
            for network in self._settings.node_port_addresses or (ANY,):
                for target in (*([] if spec.local_only else [_MASQUERADE]), Jump(chain.name)):
                    self.rules.shared[NODE_PORTS].append(
                        Rule(target, spec.name, protocol, network, served.held_node_port)
                    )

    def serve_insiders(self, served: ServedPort, node_port: int | None, chain: Chain) -> None:
        """They are masqueraded: an endpoint beside a pod would otherwise answer it directly, from an unknown address."""
        spec, protocol = served.spec, served.spec.protocol.lower()
        portals = [(SERVICES, _network(address), spec.port) for address in spec.insider_addresses]
        if node_port:
            portals += [(NODE_PORTS, network, node_port) for network in self._settings.node_port_addresses or (ANY,)]
        for chain_of_all, network, port in portals:
            for target in (_MASQUERADE, Jump(chain.name)):
                rule = Rule(target, spec.name, protocol, network, port)
                if pods := self._settings.cluster_cidr:
                    self.rules.insiders[chain_of_all].append(replace(rule, source=pods))
                self.rules.insiders[chain_of_all].append(replace(rule, src_type_local=True))

    def _masquerading(self, spec: ServicePort, address: IPv4Network) -> list[Rule]:
        """Masquerades clients to whom endpoints' answers would otherwise take another way back."""
        protocol = spec.protocol.lower()
        if address.subnet_of(self._settings.service_range):
            pods = self._settings.cluster_cidr
            return [Rule(_MASQUERADE, spec.name, protocol, address, spec.port, not_source=pods)] if pods else []
        return [] if spec.local_only else [Rule(_MASQUERADE, spec.name, protocol, address, spec.port)]

    def _balance(self, served: ServedPort) -> list[Rule]:
        """First the endpoint that a client had, then one at random: the first one of n, then of the n - 1 left..."""
        spec, returning, random = served.spec, [], []
        for left, (address, port) in zip(range(len(served.backends), 0, -1), served.backends, strict=True):
            name = _name("KUBE-SEP-", spec.name, spec.protocol, address, str(port))
            remember = Recent(name) if spec.affinity_seconds is not None else None
            self.rules.own[Chain(NAT, name, (), "", ordered=True)] = [
                Rule(_MASQUERADE, spec.name, source=_network(address)),  # an endpoint that is its own client
                Rule(Dnat(address, port), spec.name, spec.protocol.lower(), recent=remember),
            ]
            if spec.affinity_seconds is not None:
                returning.append(Rule(Jump(name), spec.name, recent=Recent(name, spec.affinity_seconds)))
            random.append(Rule(Jump(name), spec.name, probability=1 / left))
        return returning + random

    def refuse(self, served: ServedPort) -> None:
        spec = served.spec
        addresses: Sequence[str] = (*spec.addresses, *spec.guarded)
        self.rules.shared[SERVICES_REJECT] += [_rejection(spec, _network(address)) for address in addresses]
        if served.held_node_port:
            for network in self._settings.node_port_addresses or (ANY,):
                self.rules.shared[SERVICES_REJECT].append(
                    Rule(
                        _how(spec),
                        spec.name,
                        spec.protocol.lower(),
                        network,
                        served.held_node_port,
                        dst_type_local=True,
                    )
                )


def _rejection(spec: ServicePort, address: IPv4Network) -> Rule:
    return Rule(_how(spec), spec.name, spec.protocol.lower(), address, spec.port)


def _how(spec: ServicePort) -> Reject:
    return Reject(RejectWith.TCP_RESET if spec.protocol == "TCP" else RejectWith.PORT_UNREACHABLE)


def _service_chain(served: ServedPort) -> Chain:
    return Chain(NAT, _name("KUBE-SVC-", served.spec.name, served.spec.protocol), (), "", ordered=True)


@lru_cache(maxsize=1 << 16)
def _name(prefix: str, *parts: str) -> str:
    """A chain's name has 28 characters at most."""
    return prefix + base64.b32encode(hashlib.sha256("/".join(parts).encode()).digest())[:16].decode()
