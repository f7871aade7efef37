"""Userspace mode: REDIRECT rules lead to proxy ports, where the data plane takes over."""

import logging
from collections.abc import Iterable

from kube_proxy.conntrack import Claim, Claims
from kube_proxy.dataplane.pool import WorkerPool
from kube_proxy.iptables import Redirect, Rule, RuleSet, RuleTables
from kube_proxy.iptables.rules import Portal, RuleSetBuilder, kernel_mode_stands, redirects
from kube_proxy.ports import Ports
from kube_proxy.services import ServicePort
from kube_proxy.serving import Serving, Settings, all_claims, led_in
from kube_proxy.statistics import Statistics
from kube_proxy.table import Row

log = logging.getLogger(__name__)


class UserspaceMode:
    backends_are_rules = False

    def __init__(self, tables: RuleTables, pool: WorkerPool, ports: Ports, statistics: Statistics) -> None:
        self.tables = tables
        self._pool, self._ports, self._statistics = pool, ports, statistics

    async def adopt(self) -> Claims:
        found = await self.tables.found()
        if kernel_mode_stands(found):
            log.warning("rules of iptables mode stand here too, and come first; kube-proxy --cleanup removes them")
        self._ports.adopt(redirects(found))
        return _claims_of_rules(found)

    async def prepare(self, settings: Settings) -> None: ...

    def open(self, serving: Serving) -> None:
        spec = serving.spec
        sock = self._ports.open_proxy_port(spec.name, spec.protocol)
        serving.proxy_port = sock.getsockname()[1]
        serving.number = self._pool.serve(spec.name, spec.protocol, sock, spec.settings)
        self._statistics.add_port(serving.number, spec.name, spec.protocol)
        self._pool.set_backends(serving.number, serving.backends)

    def update(self, serving: Serving, before: ServicePort) -> None:
        if before.settings != serving.spec.settings:
            self._pool.change(serving.number, serving.spec.settings)
        self._pool.set_backends(serving.number, serving.backends)
        current = {f"{address}:{port}" for address, port in serving.backends}
        self._statistics.keep_backends(serving.number, current)

    def rules(self, served: Iterable[Serving], settings: Settings) -> RuleSet:
        builder = RuleSetBuilder(settings.node_port_addresses, settings.cluster_cidr)
        builder.refuse(settings.service_range)
        for serving, insider_node_port in led_in(served):
            builder.add_portal(_portal(serving, insider_node_port))
        return builder.rules

    def claims(self, served: Iterable[Serving]) -> Claims:
        """Datagrams lead to this node, on the proxy port."""
        return all_claims(served, lambda serving: Claim(frozenset({(None, serving.proxy_port)})))

    def leave(self, serving: Serving) -> None:
        self._statistics.remove_port(serving.number)

    def close(self, serving: Serving) -> None:
        self._pool.stop(serving.number)

    def settled(self) -> None:
        self._ports.release_unclaimed()

    def row(self, serving: Serving) -> Row:
        return Row(
            spec=serving.spec,
            backends=serving.backends,
            proxy_port=serving.proxy_port,
            node_port_held=serving.node_port is not None,
            totals=self._statistics.of(serving.number),
            clients_remembered=self._pool.clients_remembered(serving.number),
        )


def _portal(serving: Serving, insider_node_port: int | None) -> Portal:
    spec = serving.spec
    return Portal(
        name=spec.name,
        protocol=spec.protocol,
        addresses=spec.addresses,
        port=spec.port,
        node_port=serving.held_node_port,
        proxy_port=serving.proxy_port,
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
