"""Kernel mode: DNAT rules lead to endpoints at random, and no process of ours touches a byte.

For hosts where speed matters more than what userspace can do: no retry at another endpoint, no statistics, no PROXY
header. Clients that are no pods, or come by a node port or an external address, are hidden behind the node's
address, but not where a policy keeps them to endpoints of this node. Node ports do not answer on 127.0.0.1.
"""

import base64
import hashlib
import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network

from kube_proxy.conntrack import Claim, Claims, Target
from kube_proxy.iptables import Jump, Reject, Rule, RuleSet, RuleTables
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
    userspace_mode_stands,
)
from kube_proxy.services import ServicePort
from kube_proxy.serving import Serving, Settings
from kube_proxy.table import Row

log = logging.getLogger(__name__)

_HIDE = Jump(MARK_MASQ.name)
_network = lru_cache(maxsize=1 << 16)(IPv4Network)


class KernelMode:
    backends_are_rules = True

    def __init__(self, tables: RuleTables) -> None:
        self.tables = tables

    async def adopt(self) -> Claims:
        found = await self.tables.found()
        if userspace_mode_stands(found):
            log.warning("rules of userspace mode stand here too; kube-proxy --cleanup removes them")
        return {
            (str(rule.destination.network_address), rule.destination_port): Claim(frozenset())
            for rule in found
            if rule.protocol == "udp" and rule.destination_port and rule.destination.prefixlen == 32
        }

    def open(self, serving: Serving) -> None:
        if serving.spec.proxy_protocol:
            log.warning("%s: iptables mode has no PROXY protocol; its annotation is not heeded", serving.spec.name)

    def update(self, serving: Serving, before: ServicePort) -> None: ...
    def leave(self, serving: Serving) -> None: ...
    def close(self, serving: Serving) -> None: ...
    def settled(self) -> None: ...

    def rules(self, served: Iterable[Serving], settings: Settings) -> RuleSet:
        builder = KernelRules(settings)
        for serving in served:
            builder.add(serving)
        return builder.finish()

    def claims(self, served: Iterable[Serving]) -> Claims:
        """Datagrams lead to endpoints."""
        claims: dict[Target, Claim] = {}
        for serving in served:
            spec = serving.spec
            if spec.protocol == "UDP":
                there = Claim(frozenset(serving.backends))
                claims.update({(address, spec.port): there for address in (*spec.addresses, *spec.guarded)})
                if serving.held_node_port:
                    claims[None, serving.held_node_port] = there
        return claims

    def row(self, serving: Serving) -> Row:
        return Row(spec=serving.spec, backends=serving.backends, node_port_held=serving.node_port is not None)


class KernelRules:
    """Collects the chains of all service ports."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules: dict[Chain, list[Rule]] = {chain: [] for chain in KERNEL_CHAINS}
        self._rules[MARK_MASQ].append(Rule(Mark(), ""))
        self._rules[POSTROUTING].append(Rule(Masquerade(), "kubernetes service traffic requiring SNAT", marked=True))

    def add(self, serving: Serving) -> None:
        if serving.backends:
            self._serve(serving, _service_chain(serving))
        else:
            self._refuse(serving)

    def finish(self) -> RuleSet:
        """With what comes after all services."""
        self._rules[SERVICES].append(Rule(Jump(NODE_PORTS.name), "node ports; last", to_local_address=True))
        why, range_ = "service address or port that no service has", self._settings.service_range
        self._rules[SERVICES_REJECT] += [
            Rule(Reject(RejectWith.TCP_RESET), why, "tcp", range_),
            Rule(Reject(RejectWith.PORT_UNREACHABLE), why, None, range_),
        ]
        return self._rules

    def _serve(self, serving: Serving, chain: Chain) -> None:
        spec, protocol, services = serving.spec, serving.spec.protocol.lower(), self._rules[SERVICES]
        self._rules[chain] = self._choice(serving)
        for address in map(_network, spec.addresses):
            services += self._hiding(spec, address)
            services.append(Rule(Jump(chain.name), spec.name, protocol, address, spec.port))
        for address in map(_network, spec.guarded):
            services += self._hiding(spec, address)
            for source in spec.source_ranges:
                services.append(Rule(Jump(chain.name), spec.name, protocol, address, spec.port, source=source))
            self._rules[SERVICES_REJECT].append(_rejection(spec, address))
        if serving.held_node_port:
            for network in self._settings.node_port_addresses or (ANY,):
                for target in (*([] if spec.local_only else [_HIDE]), Jump(chain.name)):
                    self._rules[NODE_PORTS].append(
                        Rule(target, spec.name, protocol, network, serving.held_node_port)
                    )

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
            self._rules[Chain(NAT, name, (), "", ordered=True)] = [
                Rule(_HIDE, spec.name, source=_network(address)),  # an endpoint that is its own client
                Rule(Dnat(address, port), spec.name, spec.protocol.lower(), recent=note),
            ]
            if spec.affinity_seconds is not None:
                again.append(Rule(Jump(name), spec.name, recent=Recent(name, spec.affinity_seconds)))
            random.append(Rule(Jump(name), spec.name, one_in=left))
        return again + random

    def _refuse(self, serving: Serving) -> None:
        spec = serving.spec
        addresses: Sequence[str] = (*spec.addresses, *spec.guarded)
        self._rules[SERVICES_REJECT] += [_rejection(spec, _network(address)) for address in addresses]
        if serving.held_node_port:
            for network in self._settings.node_port_addresses or (ANY,):
                self._rules[SERVICES_REJECT].append(
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
