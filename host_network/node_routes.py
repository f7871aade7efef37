"""Routes to the other nodes' pods through those nodes' addresses (host-gw), which must be on one layer-2 segment.

For every machine that talks to pods: nodes, and those of the control plane, whose apiserver proxies to them.
Owns exactly the routes that carry our protocol number; the route to a node that is gone is deleted. A Node object says
what it likes: what would lead addresses astray that are not its pods' (``PodCidrs``), or would replace a route of the
machine's own, is not routed. A pure ``plan``, and a loop that runs it when nodes change, and every ``RESYNC`` seconds.

It takes all Node objects, and the node authorizer lets a kubelet read but its own. So this one right is granted apart, by
the cluster role ``peapod:node-routes``: to get, list and watch nodes, for the group ``system:nodes``. An identity of its
own would add nothing, as its key would lie beside the kubelet's. Where others route pods the binding may name nobody:
without the right the routes stay as they are, and the kubelet does everything else.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Protocol

from apimachinery import meta
from apimachinery.core import nodes as core_nodes
from apimachinery.core.pod_cidrs import Network, PodCidrs
from apimachinery.types import core_v1
from host_network.commands import CommandError
from host_network.devices import POD_BRIDGE, SERVICE_BRIDGE, Address, addresses
from host_network.routes import Route, add_route, delete_route, replace_route, routes

log = logging.getLogger(__name__)

RESYNC = 60.0

Gateways = Mapping[IPv4Network, IPv4Address]
"""Pod CIDR -> the node's address."""


Hop = tuple[IPv4Network, IPv4Address]


@dataclass(frozen=True)
class Plan:
    add: tuple[Hop, ...] = ()
    replace: tuple[Hop, ...] = ()
    """Routes of ours whose gateway has changed."""
    delete: tuple[Hop, ...] = ()
    faults: tuple[str, ...] = ()
    """Why the others are not routed."""


def gateways_of(
    nodes: Iterable[core_v1.Node], own_name: str, cluster_cidr: Network | None
) -> tuple[dict[IPv4Network, IPv4Address], tuple[str, ...]]:
    """Those of all other nodes that have both a pod CIDR and an address; and why some of them have none.

    This machine's own node comes first, then the older ones: a new one takes nothing from them.
    """
    gateways: dict[IPv4Network, IPv4Address] = {}
    faults: list[str] = []
    cidrs = PodCidrs(cluster_cidr)
    for node in sorted(nodes, key=lambda node: (meta.name_of(node) != own_name, *_seniority(node))):
        name, address = meta.name_of(node), core_nodes.address(node, "InternalIP")
        try:
            cidr = IPv4Network(node.spec.pod_cidr or "")
        except ValueError:  # none yet, or IPv6, which is not ours to route
            continue
        if fault := cidrs.claim(name, str(cidr)):
            faults.append(f"node {name}: pod CIDR {fault}")
        elif name != own_name:
            with suppress(ValueError):
                gateways[cidr] = IPv4Address(address)
    return gateways, tuple(faults)


def _seniority(node: core_v1.Node) -> tuple[str, str]:
    return node.metadata.creation_timestamp or "", meta.name_of(node)


def plan(gateways: Gateways, present: Sequence[Route], own: Sequence[Address]) -> Plan:
    """Which of our routes to add, to replace and to delete on a machine with these routes and addresses."""
    ours = {route.destination: route.via for route in present if route.ours and route.via is not None}
    faults = {cidr: _obstacle(cidr, via, present, own) for cidr, via in gateways.items()}
    wanted = {cidr: via for cidr, via in gateways.items() if not faults[cidr]}
    return Plan(
        add=tuple((cidr, via) for cidr, via in wanted.items() if cidr not in ours),
        replace=tuple((cidr, via) for cidr, via in wanted.items() if ours.get(cidr, via) != via),
        delete=tuple((cidr, via) for cidr, via in ours.items() if cidr not in wanted),
        faults=tuple(f"route to {cidr} via {gateways[cidr]}: {fault}" for cidr, fault in faults.items() if fault),
    )


def _obstacle(cidr: IPv4Network, via: IPv4Address, present: Sequence[Route], own: Sequence[Address]) -> str:
    """Why a route is not to be made; empty if it is."""
    outside = [address for address in own if address.device not in ("lo", POD_BRIDGE, SERVICE_BRIDGE)]
    if all(via not in address.network for address in outside):
        return "the gateway is on no network of this machine"
    for address in outside:
        if address.network.overlaps(cidr):
            return f"it overlaps {address.network} of {address.device}"
    for route in present:
        if route.destination == cidr and not route.ours:
            return f"there is a route of others to it, through {route.device}"
    return ""


class Nodes(Protocol):
    """An informer of nodes."""

    @property
    def synced(self) -> asyncio.Event: ...
    def list(self) -> list[core_v1.Node]: ...
    def on_change(self, listener: Callable[[core_v1.Node | None, core_v1.Node | None], Any], /) -> object: ...


class NodeRoutes:
    """Start ``run`` in the task group of a daemon of the machine."""

    def __init__(self, nodes: Nodes, cluster_cidr: Network | None, own_name: str = "") -> None:
        """``own_name`` is this machine's node, if it is one."""
        self._nodes = nodes
        self._cluster_cidr, self._own_name = cluster_cidr, own_name
        self._faults: frozenset[str] = frozenset()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        await self._nodes.synced.wait()
        self._nodes.on_change(self._on_node)
        while True:
            self._changed.clear()
            try:
                gateways, faults = gateways_of(self._nodes.list(), self._own_name, self._cluster_cidr)
                self._tell((*faults, *await asyncio.to_thread(_apply, gateways)))
            except CommandError as exc:
                log.warning("pod routes: %s; will retry", exc)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), RESYNC)

    def _on_node(self, old: core_v1.Node | None, new: core_v1.Node | None) -> None:
        """Heartbeats change nodes all the time; only a change that concerns routes wakes the loop."""
        if _concern(old) != _concern(new):
            self._changed.set()

    def _tell(self, faults: Iterable[str]) -> None:
        """Log what was not so the last time."""
        before, self._faults = self._faults, frozenset(faults)
        for fault in sorted(self._faults - before):
            log.warning("%s; not routed", fault)


def _concern(node: core_v1.Node | None) -> tuple[str | None, str] | None:
    """What routes follow from."""
    return (node.spec.pod_cidr, core_nodes.address(node, "InternalIP")) if node else None


def _apply(gateways: Gateways) -> list[str]:
    """Put the routes in place; what could not be."""
    own = addresses()
    here = {address.address for address in own}  # to the controller manager, its machine is a node like others
    step = plan({cidr: via for cidr, via in gateways.items() if via not in here}, routes(), own)
    failures = [*step.faults]
    for change, hops, outcome in (
        (delete_route, step.delete, "no node has it any more, removed"),
        (replace_route, step.replace, "replaced"),
        (add_route, step.add, "added"),
    ):
        for cidr, via in hops:
            try:
                change(cidr, via)
            except CommandError as exc:  # one route that fails keeps none of the others away
                failures.append(str(exc))
            else:
                log.info("route to %s via %s: %s", cidr, via, outcome)
    return failures
