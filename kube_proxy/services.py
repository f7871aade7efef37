"""What Services and Endpoints ask of this node's proxy. Pure.

A service port is known as ``namespace/name:port``, without the colon where the port has no name: so the same name is
found in a Service, in its Endpoints and in the comments of the node's rules.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from apimachinery import meta
from apimachinery.types import core_v1
from kube_proxy.dataplane.messages import Backend

PROTOCOLS = ("TCP", "UDP")
AFFINITY_SECONDS = 10_800
"""Kubernetes' default for ``sessionAffinityConfig.clientIP.timeoutSeconds``."""


@dataclass(frozen=True)
class ServicePort:
    """One port of one service, as this node must offer it."""

    name: str
    protocol: str
    addresses: tuple[str, ...]
    """Where it answers on ``port``: cluster IP, external IPs, load balancer addresses."""
    port: int
    node_port: int | None
    affinity_seconds: int | None

    @property
    def id(self) -> tuple[str, str]:
        return self.name, self.protocol


def service_ports(service: core_v1.Service) -> list[ServicePort]:
    """The ports to offer; none for a service without an address (headless, ExternalName, not yet given one)."""
    spec = service.spec
    if spec.type == "ExternalName" or not spec.cluster_ip or spec.cluster_ip == "None":
        return []
    addresses = _addresses(service)
    affinity = _affinity_seconds(spec)
    ports = []
    for port in spec.ports or ():
        protocol = port.protocol or "TCP"
        if protocol in PROTOCOLS and 0 < port.port < 65536:
            name = port_name(service, port.name)
            ports.append(ServicePort(name, protocol, addresses, port.port, port.node_port or None, affinity))
    return ports


def backends(endpoints: core_v1.Endpoints) -> dict[tuple[str, str], tuple[Backend, ...]]:
    """The ready endpoints of each service port, as (name, protocol) -> addresses in order."""
    found: dict[tuple[str, str], set[Backend]] = {}
    for subset in endpoints.subsets or ():
        for port in subset.ports or ():
            these = found.setdefault((port_name(endpoints, port.name), port.protocol or "TCP"), set())
            these.update((address.ip, port.port) for address in subset.addresses or () if _is_ipv4(address.ip))
    return {name: tuple(sorted(these)) for name, these in found.items()}


def port_name(obj: core_v1.Service | core_v1.Endpoints, port: str | None) -> str:
    return f"{meta.key_of(obj)}:{port}" if port else str(meta.key_of(obj))


def _addresses(service: core_v1.Service) -> tuple[str, ...]:
    spec = service.spec
    wanted: list[str | None] = [
        spec.cluster_ip,
        *(spec.external_ips or ()),
        *(spec.public_ips or ()),
        *(spec.deprecated_public_ips or ()),
        *(ingress.ip for ingress in service.status.load_balancer.ingress or () if ingress.ip_mode != "Proxy"),
    ]
    return tuple(dict.fromkeys(_ipv4(wanted)))


def _affinity_seconds(spec: core_v1.ServiceSpec) -> int | None:
    if spec.session_affinity != "ClientIP":
        return None
    config = spec.session_affinity_config
    seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
    return seconds or AFFINITY_SECONDS


def _ipv4(addresses: Iterable[str | None]) -> Iterable[str]:
    return (address for address in addresses if address and _is_ipv4(address))


def _is_ipv4(address: str) -> bool:
    try:
        IPv4Address(address)
    except ValueError:
        return False
    return True
