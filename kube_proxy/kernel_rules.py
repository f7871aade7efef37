"""The chains of kernel mode: what each service port adds to them. Pure.

A part is made from one service port alone, so that it can be kept for as long as nothing about the port changes: with
thousands of services most of a sync would go into making the same rules again.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv4Network

from kube_proxy.iptables import Jump, Reject, Rule, RuleSet
from kube_proxy.iptables.rules import (
    ANY,
    KERNEL_CHAINS,
    MARK_MASQ,
    NAT,
    NODE_PORTS,
    POSTROUTING,
    SERVICES,
    SERVICES_REJECT,
    Chain,
    Dnat,
    Mark,
    Masquerade,
    Recent,
    RejectWith,
)
from kube_proxy.services import ServicePort
from kube_proxy.serving import Serving, Settings

_HIDE = Jump(MARK_MASQ.name)
_SHARED = (SERVICES, NODE_PORTS, SERVICES_REJECT)
_network = lru_cache(maxsize=1 << 16)(IPv4Network)


@dataclass
class Part:
    """What one service port adds to the chains of all of them, and the chains that are its own."""

    shared: dict[Chain, list[Rule]] = field(default_factory=lambda: {chain: [] for chain in _SHARED})
    insiders: dict[Chain, list[Rule]] = field(default_factory=lambda: {SERVICES: [], NODE_PORTS: []})
    """Those that come before the shared ones of all."""
    own: dict[Chain, list[Rule]] = field(default_factory=dict)


def part_of(serving: Serving, insider_node_port: int | None, settings: Settings) -> Part:
    maker = PartMaker(settings)
    if serving.backends:
        maker.serve(serving, _service_chain(serving))
        maker.lead_insiders(serving, insider_node_port, _service_chain(serving))
    else:
        maker.refuse(serving)
    return maker.part


def combined(parts: Sequence[Part], settings: Settings) -> RuleSet:
    """All service ports' rules, and what comes after all services."""
    rules: dict[Chain, list[Rule]] = {chain: [] for chain in KERNEL_CHAINS}
    for part in parts:
        for chain, added in part.insiders.items():
            rules[chain] += added
    for part in parts:
        for chain, added in part.shared.items():
            rules[chain] += added
        rules |= part.own
    rules[MARK_MASQ].append(Rule(Mark(), ""))
    rules[POSTROUTING].append(Rule(Masquerade(), "kubernetes service traffic requiring SNAT", marked=True))
    rules[SERVICES].append(Rule(Jump(NODE_PORTS.name), "node ports; last", to_local_address=True))
    why = "service address or port that no service has"
    rules[SERVICES_REJECT] += [
        Rule(Reject(RejectWith.TCP_RESET), why, "tcp", settings.service_range),
        Rule(Reject(RejectWith.PORT_UNREACHABLE), why, None, settings.service_range),
    ]
    return rules


class PartMaker:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.part = Part()

    def serve(self, serving: Serving, chain: Chain) -> None:
        spec, protocol, services = serving.spec, serving.spec.protocol.lower(), self.part.shared[SERVICES]
        self.part.own[chain] = self._choice(serving)
        for address in map(_network, spec.addresses):
            services += self._hiding(spec, address)
            services.append(Rule(Jump(chain.name), spec.name, protocol, address, spec.port))
        for address in map(_network, spec.guarded):
            services += self._hiding(spec, address)
            for source in spec.source_ranges:
                services.append(Rule(Jump(chain.name), spec.name, protocol, address, spec.port, source=source))
            self.part.shared[SERVICES_REJECT].append(_rejection(spec, address))
        if serving.held_node_port:
            for network in self._settings.node_port_addresses or (ANY,):
                for target in (*([] if spec.local_only else [_HIDE]), Jump(chain.name)):
                    self.part.shared[NODE_PORTS].append(
                        Rule(target, spec.name, protocol, network, serving.held_node_port)
                    )

    def lead_insiders(self, serving: Serving, node_port: int | None, chain: Chain) -> None:
        """They are hidden: a pod of another node would be answered by its neighbours directly, and not know them."""
        spec, protocol = serving.spec, serving.spec.protocol.lower()
        asked = [(SERVICES, _network(address), spec.port) for address in spec.insider_addresses]
        if node_port:
            asked += [(NODE_PORTS, network, node_port) for network in self._settings.node_port_addresses or (ANY,)]
        for where, network, port in asked:
            for target in (_HIDE, Jump(chain.name)):
                rule = Rule(target, spec.name, protocol, network, port)
                if pods := self._settings.cluster_cidr:
                    self.part.insiders[where].append(replace(rule, source=pods))
                self.part.insiders[where].append(replace(rule, from_local_address=True))

    def _hiding(self, spec: ServicePort, address: IPv4Network) -> list[Rule]:
        """Whose own address endpoints must not see, since their answers would take another way back."""
        protocol = spec.protocol.lower()
        if address.subnet_of(self._settings.service_range):
            pods = self._settings.cluster_cidr
            return [Rule(_HIDE, spec.name, protocol, address, spec.port, not_source=pods)] if pods else []
        return [] if spec.local_only else [Rule(_HIDE, spec.name, protocol, address, spec.port)]

    def _choice(self, serving: Serving) -> list[Rule]:
        """First the endpoint that a client had, then one at random: the first one of n, then of the n - 1 left..."""
        spec, again, random = serving.spec, [], []
        for left, (address, port) in zip(range(len(serving.backends), 0, -1), serving.backends, strict=True):
            name = _name("KUBE-SEP-", spec.name, spec.protocol, address, str(port))
            note = Recent(name) if spec.affinity_seconds is not None else None
            self.part.own[Chain(NAT, name, (), "", ordered=True)] = [
                Rule(_HIDE, spec.name, source=_network(address)),  # an endpoint that is its own client
                Rule(Dnat(address, port), spec.name, spec.protocol.lower(), recent=note),
            ]
            if spec.affinity_seconds is not None:
                again.append(Rule(Jump(name), spec.name, recent=Recent(name, spec.affinity_seconds)))
            random.append(Rule(Jump(name), spec.name, one_in=left))
        return again + random

    def refuse(self, serving: Serving) -> None:
        spec = serving.spec
        addresses: Sequence[str] = (*spec.addresses, *spec.guarded)
        self.part.shared[SERVICES_REJECT] += [_rejection(spec, _network(address)) for address in addresses]
        if serving.held_node_port:
            for network in self._settings.node_port_addresses or (ANY,):
                self.part.shared[SERVICES_REJECT].append(
                    Rule(_how(spec), spec.name, spec.protocol.lower(), network, serving.held_node_port, True)
                )


def _rejection(spec: ServicePort, address: IPv4Network) -> Rule:
    return Rule(_how(spec), spec.name, spec.protocol.lower(), address, spec.port)


def _how(spec: ServicePort) -> Reject:
    return Reject(RejectWith.TCP_RESET if spec.protocol == "TCP" else RejectWith.PORT_UNREACHABLE)


def _service_chain(serving: Serving) -> Chain:
    return Chain(NAT, _name("KUBE-SVC-", serving.spec.name, serving.spec.protocol), (), "", ordered=True)


@lru_cache(maxsize=1 << 16)
def _name(prefix: str, *parts: str) -> str:
    """A chain's name has 28 characters at most."""
    return prefix + base64.b32encode(hashlib.sha256("/".join(parts).encode()).digest())[:16].decode()
