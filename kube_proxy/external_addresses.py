"""Which of the addresses that services have from outside they get on this node: externalIPs, publicIPs, a load balancer's.

Any user who may write a service chooses them. None may take what others listen on: special addresses, the range of
cluster IPs, pods, the apiserver (without which this proxy would never hear that the service is gone), and on the node's
own addresses a port that a process holds, such as the kubelet's. A port of the node that a service gets is held, as a
node port is.
"""

import asyncio
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from apimachinery.core.addresses import special
from apimachinery.meta import Key
from kube_proxy.ports import Ports, PortTaken
from kube_proxy.services import Target

_RESOLVE_SECONDS = 2.0


@dataclass
class Reserved:
    """What no service gets."""

    ranges: tuple[tuple[str, IPv4Network], ...] = ()
    """Each with what it is."""
    apiserver: frozenset[tuple[str, int]] = frozenset()
    """Addresses and ports at which the API is reached."""

    def fault(self, target: Target) -> str:
        """Why it is reserved; empty if it is not."""
        address, protocol, port = target
        ip = IPv4Address(address)
        if fault := special(ip):
            return fault
        for what, network in self.ranges:
            if ip in network:
                return f"it is in the range of {what} ({network})"
        if protocol == "TCP" and (address, port) in self.apiserver:
            return "the apiserver is reached there"
        return ""


async def resolve(host: str, port: int) -> set[tuple[str, int]]:
    """The IPv4 addresses of a host with a port. Raises OSError, TimeoutError."""
    async with asyncio.timeout(_RESOLVE_SECONDS):
        places = await asyncio.get_running_loop().getaddrinfo(
            host, port, family=socket.AF_INET, type=socket.SOCK_STREAM
        )
    return {(str(place[0]), port) for *_, place in places}


@dataclass
class _Held:
    sock: socket.socket | None
    """None for an address that is not this node's."""
    services: set[Key] = field(default_factory=set)


class ExternalAddresses:
    """Belongs to the proxier, which tells it what each service wants."""

    def __init__(self, ports: Ports, reserved: Reserved) -> None:
        self._ports, self._reserved = ports, reserved
        self._held: dict[Target, _Held] = {}
        self._targets: dict[Key, set[Target]] = {}
        """What each service has."""
        self._refused: dict[Key, dict[Target, str]] = {}

    def reserve_apiserver(self, places: Iterable[tuple[str, int]]) -> set[Key]:
        """The API is reached at these places; the services to look at again."""
        before, self._reserved.apiserver = self._reserved.apiserver, frozenset(places)
        if before == self._reserved.apiserver:
            return set()
        return self._targets.keys() | self._refused.keys()

    def refused(self, service: Key) -> dict[Target, str]:
        """What the service does not get, and why."""
        return self._refused.get(service, {})

    @property
    def services_refused(self) -> set[Key]:
        return {*self._refused}

    def release(self, service: Key, wanted: Collection[Target]) -> None:
        """Give up what a service no longer wants; all of it if it is gone."""
        if not wanted:
            self._refused.pop(service, None)
        for target in [*self._targets.get(service, ())]:
            if target not in wanted or self._reserved.fault(target):
                self._drop(service, target)

    def acquire(self, service: Key, wanted: Iterable[Target]) -> dict[Target, str]:
        """Get a service what it wants; what is refused now and was not before, and why."""
        before = self._refused.pop(service, {})
        faults = {target: fault for target in wanted if (fault := self._acquire(service, target))}
        if faults:
            self._refused[service] = faults
        return {target: fault for target, fault in faults.items() if before.get(target) != fault}

    def close(self) -> None:
        for held in self._held.values():
            if held.sock:
                held.sock.close()

    def _acquire(self, service: Key, target: Target) -> str:
        if fault := self._reserved.fault(target):
            return fault
        if target not in self._held:
            address, protocol, port = target
            try:
                self._held[target] = _Held(self._ports.hold_address(address, protocol, port))
            except PortTaken as exc:
                return f"the port of this node is taken: {exc}"
        self._held[target].services.add(service)
        self._targets.setdefault(service, set()).add(target)
        return ""

    def _drop(self, service: Key, target: Target) -> None:
        self._targets[service].discard(target)
        if not self._targets[service]:
            del self._targets[service]
        held = self._held[target]
        held.services.discard(service)
        if not held.services:
            if held.sock:
                held.sock.close()
            del self._held[target]
