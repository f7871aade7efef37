"""Routes to the other nodes' pods through those nodes' addresses (host-gw): one layer-2 segment is a must.

For every machine that talks to pods: nodes, and those of the control plane, whose apiserver proxies to them.
Owns exactly the routes that carry our protocol number; a node that goes takes its route along. A pure ``plan``, and
a loop that is woken by changes of nodes and looks again now and then.
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
from component_base import iproute

log = logging.getLogger(__name__)

RESYNC = 60.0

Routes = Mapping[IPv4Network, IPv4Address]


@dataclass(frozen=True)
class Plan:
    add: tuple[tuple[IPv4Network, IPv4Address], ...] = ()
    delete: tuple[tuple[IPv4Network, IPv4Address], ...] = ()


def wanted_routes(nodes: Iterable[core_v1.Node], own_name: str) -> dict[IPv4Network, IPv4Address]:
    """Pod CIDR -> address of each other node that has both."""
    found: dict[IPv4Network, IPv4Address] = {}
    for node in nodes:
        address = internal_ip(node)
        if meta.name_of(node) == own_name or not node.spec.pod_cidr or not address:
            continue
        with suppress(ValueError):  # IPv6 is not ours to route
            found[IPv4Network(node.spec.pod_cidr)] = IPv4Address(address)
    return found


def internal_ip(node: core_v1.Node) -> str:
    return next((one.address for one in node.status.addresses or () if one.type == "InternalIP"), "")


def plan(wanted: Routes, present: Sequence[iproute.Route]) -> Plan:
    """What to change of our routes. A changed gateway is an addition: routes are replaced."""
    ours = {route.destination: route.via for route in present if route.ours and route.via is not None}
    add = tuple((cidr, via) for cidr, via in wanted.items() if ours.get(cidr) != via)
    delete = tuple((cidr, via) for cidr, via in ours.items() if cidr not in wanted)
    return Plan(add, delete)


class Nodes(Protocol):
    """All nodes, as an informer has them."""

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
                await asyncio.to_thread(_apply, wanted_routes(self._nodes.list(), self._own_name))
            except iproute.IpRouteError as exc:
                log.warning("pod routes: %s; will retry", exc)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), RESYNC)

    def _on_node(self, old: core_v1.Node | None, new: core_v1.Node | None) -> None:
        """Heartbeats change nodes all the time; only what routes are made of wakes the loop."""
        before = wanted_routes([old] if old else [], self._own_name)
        if before != wanted_routes([new] if new else [], self._own_name):
            self._changed.set()


def _apply(wanted: Routes) -> None:
    own = {one.address for one in iproute.addresses()}  # a machine may be a node under another daemon's eyes
    wanted = {cidr: via for cidr, via in wanted.items() if via not in own}
    step = plan(wanted, iproute.routes())
    for cidr, via in step.add:
        log.info("route to %s via %s", cidr, via)
        iproute.replace_route(cidr, via)
    for cidr, via in step.delete:
        log.info("route to %s via %s: no node has it any more, removed", cidr, via)
        iproute.delete_route(cidr, via)
