"""Routes to the other nodes' pods through those nodes' addresses (host-gw), which must be on one layer-2 segment.

For every machine that talks to pods: nodes, and those of the control plane, whose apiserver proxies to them.
Owns exactly the routes that carry our protocol number; the route to a node that is gone is deleted.
A pure ``plan``, and a loop that runs it when nodes change, and every ``RESYNC`` seconds.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Protocol

from apimachinery import meta
from apimachinery.types import core_v1
from host_network.commands import CommandError
from host_network.devices import addresses
from host_network.routes import Route, delete_route, replace_route, routes

log = logging.getLogger(__name__)

RESYNC = 60.0

Gateways = Mapping[IPv4Network, IPv4Address]
"""Pod CIDR -> the node's address."""


@dataclass(frozen=True)
class Plan:
    add: tuple[tuple[IPv4Network, IPv4Address], ...] = ()
    delete: tuple[tuple[IPv4Network, IPv4Address], ...] = ()


def gateways_of(nodes: Iterable[core_v1.Node], own_name: str) -> dict[IPv4Network, IPv4Address]:
    """Those of all other nodes that have both a pod CIDR and an address."""
    gateways: dict[IPv4Network, IPv4Address] = {}
    for node in nodes:
        address = internal_ip(node)
        if meta.name_of(node) == own_name or not node.spec.pod_cidr or not address:
            continue
        with suppress(ValueError):  # IPv6 is not ours to route
            gateways[IPv4Network(node.spec.pod_cidr)] = IPv4Address(address)
    return gateways


def internal_ip(node: core_v1.Node) -> str:
    return next((address.address for address in node.status.addresses or () if address.type == "InternalIP"), "")


def plan(gateways: Gateways, present: Sequence[Route]) -> Plan:
    """Which of our routes to add and to delete. A changed gateway is an addition: routes are replaced."""
    ours = {route.destination: route.via for route in present if route.ours and route.via is not None}
    add = tuple((cidr, via) for cidr, via in gateways.items() if ours.get(cidr) != via)
    delete = tuple((cidr, via) for cidr, via in ours.items() if cidr not in gateways)
    return Plan(add, delete)


class Nodes(Protocol):
    """An informer of nodes."""

    @property
    def synced(self) -> asyncio.Event: ...
    def list(self) -> list[core_v1.Node]: ...
    def on_change(self, listener: Callable[[core_v1.Node | None, core_v1.Node | None], Any], /) -> object: ...


class NodeRoutes:
    """Start ``run`` in the task group of a daemon of the machine."""

    def __init__(self, nodes: Nodes, own_name: str = "") -> None:
        """``own_name`` is this machine's node, if it is one."""
        self._nodes = nodes
        self._own_name = own_name
        self._changed = asyncio.Event()

    async def run(self) -> None:
        await self._nodes.synced.wait()
        self._nodes.on_change(self._on_node)
        while True:
            self._changed.clear()
            try:
                await asyncio.to_thread(_apply, gateways_of(self._nodes.list(), self._own_name))
            except CommandError as exc:
                log.warning("pod routes: %s; will retry", exc)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), RESYNC)

    def _on_node(self, old: core_v1.Node | None, new: core_v1.Node | None) -> None:
        """Heartbeats change nodes all the time; only a change that concerns routes wakes the loop."""
        before = gateways_of([old] if old else [], self._own_name)
        if before != gateways_of([new] if new else [], self._own_name):
            self._changed.set()


def _apply(gateways: Gateways) -> None:
    own = {address.address for address in addresses()}  # to the controller manager, its machine is a node like others
    step = plan({cidr: via for cidr, via in gateways.items() if via not in own}, routes())
    for cidr, via in step.add:
        log.info("route to %s via %s", cidr, via)
        replace_route(cidr, via)
    for cidr, via in step.delete:
        log.info("route to %s via %s: no node has it any more, removed", cidr, via)
        delete_route(cidr, via)
