"""Iptables mode: DNAT rules send each connection to an endpoint at random, and no process of ours touches a byte.

For hosts where speed matters more than what userspace can do: no retry at another endpoint, no statistics, no PROXY
header. Clients that are not pods, or use a node port or an external address, are masqueraded as the node, except where
a policy keeps them to endpoints of this node. Node ports do not answer on 127.0.0.1.
"""

import asyncio
import logging
from collections.abc import Iterable

from host_network import devices
from kube_proxy.conntrack import Claim, Claims
from kube_proxy.iptables import RuleSet, RuleTables
from kube_proxy.iptables.chains import has_userspace_mode
from kube_proxy.iptables_rules import PortRules, combine, port_rules
from kube_proxy.mode import ServedPort, Settings, all_claims, with_insider_node_ports
from kube_proxy.services import ServicePort
from kube_proxy.table import Row

log = logging.getLogger(__name__)


class IptablesMode:
    backends_are_rules = True

    def __init__(self, tables: RuleTables) -> None:
        self.tables = tables
        self._port_rules: dict[tuple[str, str], tuple[object, PortRules]] = {}
        """By service port, its rules and what they were made from."""

    async def adopt(self) -> Claims:
        rules = await self.tables.rules()
        if has_userspace_mode(rules):
            log.warning("there are rules of userspace mode too; kube-proxy --cleanup removes them")
        return {
            (str(rule.destination.network_address), rule.destination_port): Claim(frozenset())
            for rule in rules
            if rule.protocol == "udp" and rule.destination_port and rule.destination.prefixlen == 32
        }

    async def prepare(self, settings: Settings) -> None:
        if settings.cluster_cidr:
            await asyncio.to_thread(devices.enable_hairpin, settings.cluster_cidr)

    def open(self, port: ServedPort) -> None:
        if port.spec.proxy_protocol:
            log.warning("%s: iptables mode has no PROXY protocol; its annotation is ignored", port.spec.name)

    def update(self, port: ServedPort, before: ServicePort) -> None: ...
    def leave(self, port: ServedPort) -> None: ...
    def close(self, port: ServedPort) -> None: ...
    def settled(self) -> None: ...

    def rules(self, served: Iterable[ServedPort], settings: Settings) -> RuleSet:
        known, self._port_rules = self._port_rules, {}
        for port, insider_node_port in with_insider_node_ports(served):
            made_from = (settings, port.spec, port.backends, port.held_node_port, insider_node_port)
            before = known.get(port.spec.id)
            self._port_rules[port.spec.id] = (
                before
                if before and before[0] == made_from
                else (made_from, port_rules(port, insider_node_port, settings))
            )
        return combine([rules for _, rules in self._port_rules.values()], settings)

    def claims(self, served: Iterable[ServedPort]) -> Claims:
        """Datagrams go to endpoints."""
        return all_claims(served, lambda port: Claim(frozenset(port.backends)))

    def row(self, port: ServedPort) -> Row:
        return Row(spec=port.spec, backends=port.backends, node_port_held=port.node_port is not None)
