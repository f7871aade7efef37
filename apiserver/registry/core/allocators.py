"""Addresses and ports that belong to one service: cluster IPs and node ports.

Each is a key under ``/registry-meta`` that the service's own transaction claims, so two services can never
hold the same, and what a deleted service held is free at once. There is no state here: choosing is random, and
when that fails too often the store tries again with all that are taken.
"""

import ipaddress
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from apimachinery import errors, meta
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import Service, ServicePort
from apiserver.registry.core.service_traffic import wants_health_port
from apiserver.registry.resource import Allocation

IPS: Final = "/registry-meta/ips/"
NODE_PORTS: Final = "/registry-meta/nodeports/"
HEADLESS: Final = "None"
RESERVED: Final = 256  # the lowest addresses are for static assignment, as in Kubernetes' own allocator
_TRIES: Final = 16

PortRange = range
ServiceRange = ipaddress.IPv4Network


class ServiceAllocator:
    """Gives services their cluster IP and node ports."""

    def __init__(self, addresses: ServiceRange, ports: PortRange) -> None:
        self._addresses, self._ports = addresses, ports

    def allocate(self, obj: Service, old: Service | None, taken: frozenset[str]) -> Allocation:
        held = set(held_by(old)) if old is not None else set()
        if wants_cluster_ip(obj):
            self._allocate_ip(obj, held, taken)
        if wants_node_ports(obj):
            self._allocate_ports(obj, held, taken)
        if wants_health_port(obj):
            self._allocate_health_port(obj, held, taken)
        needed = set(held_by(obj))
        return Allocation(claims=sorted(needed - held), releases=sorted(held - needed))

    def release(self, obj: Service) -> Sequence[str]:
        return sorted(held_by(obj))

    def _allocate_ip(self, service: Service, held: set[str], taken: frozenset[str]) -> None:
        spec = service.spec
        if spec.cluster_ip:
            if IPS + spec.cluster_ip in taken - held:
                raise _refused(service, Path("spec", "clusterIPs").invalid(
                    [spec.cluster_ip], f"failed to allocate IP {spec.cluster_ip}: provided IP is already allocated"
                ))  # fmt: skip
            return
        size = self._addresses.num_addresses
        first = min(RESERVED, size // 16)
        at = _choose(range(max(1, first), size - 1), lambda offset: IPS + str(self._addresses[offset]), taken)
        if at is None:
            at = _choose(range(1, max(1, first)), lambda offset: IPS + str(self._addresses[offset]), taken)
        if at is None:
            raise _full(service, Path("spec", "clusterIPs"), f"range {self._addresses} is full")
        spec.cluster_ip = str(self._addresses[at])
        spec.cluster_ips = [spec.cluster_ip]

    def _allocate_ports(self, service: Service, held: set[str], taken: frozenset[str]) -> None:
        for i, port in enumerate(service.spec.ports or ()):
            if port.node_port and NODE_PORTS + str(port.node_port) in taken - held:
                path = (Path("spec", "ports"))[i] / "nodePort"
                raise _refused(service, path.invalid(port.node_port, "provided port is already allocated"))
        for port in service.spec.ports or ():
            if not port.node_port:
                ours = {NODE_PORTS + str(other.node_port) for other in service.spec.ports or () if other.node_port}
                port.node_port = _shared(port, service.spec.ports or ()) or self._free_port(service, taken | ours)

    def _allocate_health_port(self, service: Service, held: set[str], taken: frozenset[str]) -> None:
        spec, path = service.spec, Path("spec", "healthCheckNodePort")
        if not spec.health_check_node_port:
            others = {NODE_PORTS + str(port.node_port) for port in spec.ports or () if port.node_port}
            spec.health_check_node_port = self._free_port(service, taken | others)
        elif spec.health_check_node_port not in self._ports:
            span = f"{self._ports.start}-{self._ports.stop - 1}"
            raise _refused(service, path.invalid(
                spec.health_check_node_port,
                f"provided port is not in the valid range. The range of valid ports is {span}",
            ))  # fmt: skip
        elif NODE_PORTS + str(spec.health_check_node_port) in taken - held or spec.health_check_node_port in [
            port.node_port for port in spec.ports or ()
        ]:
            raise _refused(service, path.invalid(spec.health_check_node_port, "provided port is already allocated"))

    def _free_port(self, service: Service, taken: frozenset[str]) -> int:
        port = _choose(self._ports, lambda number: NODE_PORTS + str(number), taken)
        if port is None:
            text = f"range {self._ports.start}-{self._ports.stop - 1} is full"
            raise _full(service, Path("spec", "ports"), text)
        return port


def _shared(port: ServicePort, ports: Iterable[ServicePort]) -> int | None:
    """One number serves all protocols of one port of a service, where that is possible."""
    in_use = {(other.protocol, other.node_port) for other in ports}
    numbers = (other.node_port for other in ports if other.port == port.port and other.node_port)
    return next((number for number in numbers if (port.protocol, number) not in in_use), None)


def wants_cluster_ip(service: Service) -> bool:
    return service.spec.type != "ExternalName" and service.spec.cluster_ip != HEADLESS


def wants_node_ports(service: Service) -> bool:
    if service.spec.type == "LoadBalancer":
        return service.spec.allocate_load_balancer_node_ports is not False
    return service.spec.type == "NodePort"


def held_by(service: Service) -> Iterator[str]:
    """The claims of a stored service."""
    if service.spec.cluster_ip and wants_cluster_ip(service):
        yield IPS + service.spec.cluster_ip
    numbers = {port.node_port for port in service.spec.ports or () if port.node_port}
    if service.spec.health_check_node_port:
        numbers.add(service.spec.health_check_node_port)
    yield from (NODE_PORTS + str(number) for number in sorted(numbers))


def keep_node_ports(new: Iterable[ServicePort], old: Iterable[ServicePort]) -> None:
    """Ports that an update left without a number keep the one that they had."""
    taken = {port.node_port for port in new if port.node_port}
    previous = {(port.protocol, port.port): port.node_port for port in old if port.node_port}
    for port in new:
        number = previous.get((port.protocol, port.port))
        if not port.node_port and number and number not in taken:
            port.node_port = number
            taken.add(number)


def _choose(candidates: range, key: Callable[[int], str], taken: frozenset[str]) -> int | None:
    """A random candidate that is free; None if there is none."""
    if not candidates:
        return None
    for _ in range(_TRIES):
        number = random.choice(candidates)
        if key(number) not in taken:
            return number
    start = random.randrange(len(candidates))
    rotated = (candidates[(start + i) % len(candidates)] for i in range(len(candidates)))
    return next((number for number in rotated if key(number) not in taken), None)


def _refused(service: Service, fault: FieldError) -> errors.Invalid:
    return errors.invalid("Service", "", meta.name_of(service), [fault])


def _full(service: Service, path: Path, why: str) -> errors.ApiError:
    return errors.InternalError(f"{meta.name_of(service)}: {path}: failed to allocate: {why}")
