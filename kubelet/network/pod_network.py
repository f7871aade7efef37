"""The pod network of this node: a bridge on the node's pod CIDR, and the filter rules around it.

The node IPAM controller assigns the pod CIDR some time after registration; until then, and whenever the bridge or its
rules cannot be created, ``fault`` says why, and pods wait. What an earlier run created is reused. All of it is verified
regularly, on the machine itself: others flush tables and delete devices. A sandbox that is not on the bridge any more is
ended, and its pod gets another.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Final

from host_network import devices, pod_rules
from host_network.commands import CommandError
from host_network.devices import POD_BRIDGE, SERVICE_BRIDGE, Address, addresses
from host_network.routes import Route, routes
from kubelet.network.attachment import is_attached
from kubelet.runtime import ContainerRecord, Runtime
from kubelet.runtime.errors import EngineError
from kubelet.runtime.networks import Bridge, ensure_network

log = logging.getLogger(__name__)

NAME: Final = "peapod"

RESYNC = 30.0
"""Seconds between verifications."""
_RETRY = 2.0

NOT_ASSIGNED = "the node has no pod CIDR yet"


class Overlap(Exception):
    """A range of the cluster overlaps the node's own network; the message names both."""


def check_overlaps(
    ranges: Sequence[tuple[str, IPv4Network]],
    addresses: Sequence[Address],
    routes: Sequence[Route],
    own: Sequence[str] = (POD_BRIDGE, SERVICE_BRIDGE),
) -> None:
    """Raise ``Overlap`` if one of the ``(name, range)`` is used on this node other than by us."""
    for name, cidr in ranges:
        for address in addresses:
            if address.device not in own and address.network.overlaps(cidr):
                raise Overlap(f"{name} {cidr} overlaps {address.address} ({address.network}) of {address.device}")
        for route in routes:
            default = route.destination.prefixlen == 0
            if not default and not route.ours and route.device not in own and route.destination.overlaps(cidr):
                raise Overlap(f"{name} {cidr} overlaps the route to {route.destination} through {route.device}")


class PodNetwork:
    """Belongs to the event loop; ``run`` creates the network and maintains it."""

    def __init__(self, runtime: Runtime, inside: Sequence[IPv4Network], mtu: int) -> None:
        self._runtime = runtime
        self._inside = inside
        """The cluster's own ranges: towards them pods are not masqueraded."""
        self._mtu = mtu
        self._cidr: IPv4Network | None = None
        self._fault = NOT_ASSIGNED
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[], object]] = []
        self.attempted = asyncio.Event()
        """Set once ``fault`` is the result of an attempt."""

    @property
    def fault(self) -> str:
        """Why pods have no network; empty when they have."""
        return self._fault

    def on_change(self, listener: Callable[[], object]) -> None:
        """``listener`` is called when ``fault`` changes."""
        self._listeners.append(listener)

    def assign(self, pod_cidr: str) -> None:
        """The node's range, from its object."""
        try:
            cidr = IPv4Network(pod_cidr)
        except ValueError as exc:
            self._set_fault(f"the node's pod CIDR cannot be used: {exc}")
            return
        if cidr != self._cidr:
            log.info("pod CIDR is %s", cidr)
            self._cidr = cidr
            self._changed.set()

    def check(self) -> None:
        """Verify at once: the engine is back, and may have lost its networks."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            delay = RESYNC
            if self._cidr is not None:
                faults = await self._ensure(self._cidr)
                if faults:
                    delay = _RETRY
                self._set_fault("; ".join(faults))
                self.attempted.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), delay)

    async def _ensure(self, cidr: IPv4Network) -> list[str]:
        """What could not be put in place; the rest is."""
        faults = []
        for step in (self._ensure_bridge, self._ensure_rules, self._end_detached):
            try:
                await step(cidr)
            except (EngineError, CommandError, Overlap, OSError) as exc:
                log.info("pod network %s: %s; will retry", cidr, exc)
                faults.append(str(exc))
        return faults

    async def _ensure_bridge(self, cidr: IPv4Network) -> None:
        if self._fault:  # while the network exists, its own bridge and routes would overlap
            await asyncio.to_thread(_check_range, cidr)
        await ensure_network(self._runtime.engine, Bridge(NAME, POD_BRIDGE, cidr, self._mtu))
        # The engine makes the device with its network, and does not notice when it is gone.
        gateway = IPv4Interface((cidr.network_address + 1, cidr.prefixlen))
        await asyncio.to_thread(devices.ensure_bridge, POD_BRIDGE, gateway, self._mtu)

    async def _ensure_rules(self, cidr: IPv4Network) -> None:
        await asyncio.to_thread(pod_rules.ensure, pod_rules.pod_rules(cidr, self._inside))

    async def _end_detached(self, _: IPv4Network) -> None:
        """End the sandboxes that are not on the bridge any more, which nothing can bring back to it."""
        for sandbox in await asyncio.to_thread(_detached, self._sandboxes()):
            record = await self._runtime.containers.refresh(sandbox.id)
            if record is None or not record.running or record.pid != sandbox.pid:  # it has ended by itself
                continue
            if await asyncio.to_thread(_detached, [record]):
                log.warning("pod %s: its sandbox is not on %s any more, ended", sandbox.pod_uid, POD_BRIDGE)
                await self._runtime.signal(sandbox.id, "KILL")

    def _sandboxes(self) -> list[ContainerRecord]:
        """The running ones that belong on the pod network."""
        records = self._runtime.containers.all()
        return [record for record in records if record.is_sandbox and record.running and not record.host_network]

    def _set_fault(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            for listener in self._listeners:
                listener()


def _detached(sandboxes: Sequence[ContainerRecord]) -> list[ContainerRecord]:
    ports = devices.ports_of(POD_BRIDGE)
    return [sandbox for sandbox in sandboxes if not is_attached(sandbox.pid, ports)]


def _check_range(cidr: IPv4Network) -> None:
    check_overlaps([("pod CIDR", cidr)], addresses(), routes())


def enable_forwarding(path: Path = Path("/proc/sys/net/ipv4/ip_forward")) -> None:
    """Let the node route between its pods and others. Nothing is written if it is enabled; /proc/sys may be read-only."""
    if path.read_text().strip() == "1":
        return
    try:
        path.write_text("1\n")
    except OSError as exc:
        log.warning("cannot enable ip_forward: %s", os.strerror(exc.errno or 0))
