"""Userspace mode: REDIRECT rules send connections to proxy ports, where the data plane takes over."""

import logging
from collections.abc import Iterable

from kube_proxy.conntrack import Claim, Claims
from kube_proxy.dataplane.pool import WorkerPool
from kube_proxy.iptables import Redirect, Rule, RuleSet, RuleTables
from kube_proxy.iptables.chains import has_iptables_mode, redirects
from kube_proxy.mode import ServedPort, Settings, all_claims, with_insider_node_ports
from kube_proxy.ports import Ports
from kube_proxy.services import ServicePort
from kube_proxy.statistics import Statistics
from kube_proxy.table import Row
from kube_proxy.userspace_rules import Portal, RuleSetBuilder

log = logging.getLogger(__name__)


class UserspaceMode:
    backends_are_rules = False

    def __init__(self, tables: RuleTables, pool: WorkerPool, ports: Ports, statistics: Statistics) -> None:
        self.tables = tables
        self._pool, self._ports, self._statistics = pool, ports, statistics

    async def adopt(self) -> Claims:
        rules = await self.tables.rules()
        if has_iptables_mode(rules):
            log.warning("there are rules of iptables mode too, which come first; kube-proxy --cleanup removes them")
        self._ports.adopt(redirects(rules))
        return _claims_of_rules(rules)

    async def prepare(self, settings: Settings) -> None: ...

    def open(self, port: ServedPort) -> None:
        spec = port.spec
        sock = self._ports.open_proxy_port(spec.name, spec.protocol)
        port.proxy_port = sock.getsockname()[1]
        port.number = self._pool.serve(spec.name, spec.protocol, sock, spec.settings)
        self._statistics.add_port(port.number, spec.name, spec.protocol)
        self._pool.set_backends(port.number, port.backends)

    def update(self, port: ServedPort, before: ServicePort) -> None:
        if before.settings != port.spec.settings:
            self._pool.change(port.number, port.spec.settings)
        self._pool.set_backends(port.number, port.backends)
        current = {f"{address}:{number}" for address, number in port.backends}
        self._statistics.keep_backends(port.number, current)

    def rules(self, served: Iterable[ServedPort], settings: Settings) -> RuleSet:
        builder = RuleSetBuilder(settings.node_port_addresses, settings.cluster_cidr)
        builder.refuse(settings.service_range)
        for port, insider_node_port in with_insider_node_ports(served):
            builder.add_portal(_portal(port, insider_node_port))
        return builder.rules

    def claims(self, served: Iterable[ServedPort]) -> Claims:
        """Datagrams go to this node, to the proxy port."""
        return all_claims(served, lambda port: Claim(frozenset({(None, port.proxy_port)})))

    def leave(self, port: ServedPort) -> None:
        self._statistics.remove_port(port.number)

    def close(self, port: ServedPort) -> None:
        self._pool.stop(port.number)

    def settled(self) -> None:
        self._ports.release_unclaimed()

    def row(self, port: ServedPort) -> Row:
        return Row(
            spec=port.spec,
            backends=port.backends,
            proxy_port=port.proxy_port,
            node_port_held=port.node_port is not None,
            totals=self._statistics.of(port.number),
            clients_remembered=self._pool.clients_remembered(port.number),
        )


def _portal(port: ServedPort, insider_node_port: int | None) -> Portal:
    spec = port.spec
    return Portal(
        name=spec.name,
        protocol=spec.protocol,
        addresses=spec.addresses,
        port=spec.port,
        node_port=port.held_node_port,
        proxy_port=port.proxy_port,
        guarded=spec.guarded,
        source_ranges=spec.source_ranges,
        outsiders_only=spec.outsiders_only,
        insider_addresses=spec.insider_addresses,
        insider_node_port=insider_node_port,
    )


def _claims_of_rules(rules: Iterable[Rule]) -> Claims:
    return {
        (str(rule.destination.network_address) if rule.destination.prefixlen == 32 else None, rule.destination_port):
        Claim(frozenset({(None, rule.target.port)}))
        for rule in rules
        if isinstance(rule.target, Redirect) and rule.protocol == "udp" and rule.destination_port
    }  # fmt: skip
