"""Kernel mode: DNAT rules lead to endpoints at random, and no process of ours touches a byte.

For hosts where speed matters more than what userspace can do: no retry at another endpoint, no statistics, no PROXY
header. Clients that are no pods, or come by a node port or an external address, are hidden behind the node's
address, but not where a policy keeps them to endpoints of this node. Node ports do not answer on 127.0.0.1.
"""

import asyncio
import logging
from collections.abc import Iterable

from host_network import devices
from kube_proxy.conntrack import Claim, Claims
from kube_proxy.iptables import RuleSet, RuleTables
from kube_proxy.iptables.rules import userspace_mode_stands
from kube_proxy.kernel_rules import Part, combined, part_of
from kube_proxy.services import ServicePort
from kube_proxy.serving import Serving, Settings, all_claims, led_in
from kube_proxy.table import Row

log = logging.getLogger(__name__)


class KernelMode:
    backends_are_rules = True

    def __init__(self, tables: RuleTables) -> None:
        self.tables = tables
        self._parts: dict[tuple[str, str], tuple[object, Part]] = {}
        """By service port, what its rules were made from, and they."""

    async def adopt(self) -> Claims:
        found = await self.tables.found()
        if userspace_mode_stands(found):
            log.warning("rules of userspace mode stand here too; kube-proxy --cleanup removes them")
        return {
            (str(rule.destination.network_address), rule.destination_port): Claim(frozenset())
            for rule in found
            if rule.protocol == "udp" and rule.destination_port and rule.destination.prefixlen == 32
        }

    async def prepare(self, settings: Settings) -> None:
        if settings.cluster_cidr:
            await asyncio.to_thread(devices.enable_hairpin, settings.cluster_cidr)

    def open(self, serving: Serving) -> None:
        if serving.spec.proxy_protocol:
            log.warning("%s: iptables mode has no PROXY protocol; its annotation is not heeded", serving.spec.name)

    def update(self, serving: Serving, before: ServicePort) -> None: ...
    def leave(self, serving: Serving) -> None: ...
    def close(self, serving: Serving) -> None: ...
    def settled(self) -> None: ...

    def rules(self, served: Iterable[Serving], settings: Settings) -> RuleSet:
        parts = {serving.spec.id: self._part(serving, number, settings) for serving, number in led_in(served)}
        self._parts = parts
        return combined([part for _, part in parts.values()], settings)

    def _part(
        self, serving: Serving, insider_node_port: int | None, settings: Settings
    ) -> tuple[object, Part]:
        made_from = (settings, serving.spec, serving.backends, serving.held_node_port, insider_node_port)
        known = self._parts.get(serving.spec.id)
        return known if known and known[0] == made_from else (made_from, part_of(serving, insider_node_port, settings))

    def claims(self, served: Iterable[Serving]) -> Claims:
        """Datagrams lead to endpoints."""
        return all_claims(served, lambda serving: Claim(frozenset(serving.backends)))

    def row(self, serving: Serving) -> Row:
        return Row(spec=serving.spec, backends=serving.backends, node_port_held=serving.node_port is not None)
