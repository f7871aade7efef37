"""What this node's proxy must offer for Services. Pure.

A service port is known as ``namespace/name:port``, without the colon where the port has no name: so the same name is
used for a Service, its endpoints and the comments of the node's rules. Where the service's two traffic policies
differ, one port of it is served twice: under its name for clients of the cluster IP, and with ``/external`` after it
for those that come by an address or port from outside. ``externalTrafficPolicy: Local`` is for clients from outside
the cluster; pods and the node itself come by such an address as if by a load balancer, to the endpoints of all nodes.
(Load balancer addresses with source ranges make no such difference.)
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from apimachinery import meta
from apimachinery.core import well_known
from apimachinery.core.services import has_cluster_ip
from apimachinery.types import core_v1
from apimachinery.types.objects import KubeObject
from kube_proxy.dataplane.messages import PortSettings

PROTOCOLS = ("TCP", "UDP")
AFFINITY_SECONDS = 10_800
"""Kubernetes' default for ``sessionAffinityConfig.clientIP.timeoutSeconds``."""

EXTERNAL = "/external"
EVERYWHERE = "/everywhere"
_VERSIONS = {"v1": 1, "v2": 2}


@dataclass(frozen=True)
class ServicePort:
    """One port of one service, as this node must offer it."""

    name: str
    protocol: str
    addresses: tuple[str, ...]
    """Where it answers on ``port``: cluster IP, external IPs, load balancer addresses."""
    port: int
    node_port: int | None
    affinity_seconds: int | None = None
    local_only: bool = False
    """Served by endpoints on this node alone."""
    outsiders_only: bool = False
    """At its addresses and its node port, pods and the node itself are served by another."""
    insider_addresses: tuple[str, ...] = ()
    """That other's: where it answers pods and the node itself alone."""
    insider_node_port: int | None = None
    proxy_protocol: int = 0
    guarded: tuple[str, ...] = ()
    """Addresses at which only clients of ``source_ranges`` are served, the others refused."""
    source_ranges: tuple[IPv4Network, ...] = ()

    @property
    def id(self) -> tuple[str, str]:
        return self.name, self.protocol

    @property
    def endpoints_id(self) -> tuple[str, str]:
        """The name and protocol of its endpoints."""
        return self.name.removesuffix(EXTERNAL).removesuffix(EVERYWHERE), self.protocol

    @property
    def settings(self) -> PortSettings:
        return PortSettings(self.affinity_seconds, self.proxy_protocol if self.protocol == "TCP" else 0)


Target = tuple[str, str, int]
"""An address, a protocol and a port, such as ("192.0.2.1", "TCP", 80)."""


def service_ports(service: core_v1.Service, refused: Collection[Target] = ()) -> list[ServicePort]:
    """The ports to offer; none for a service without an address (headless, ExternalName, or not yet allocated).

    ``refused`` are addresses and ports from outside that it does not get.
    """
    spec = service.spec
    if not has_cluster_ip(service):
        return []
    ports: list[ServicePort] = []
    for port in spec.ports or ():
        protocol = port.protocol or "TCP"
        if protocol in PROTOCOLS and 0 < port.port < 65536:
            whole = ServicePort(
                name=port_name(service, port.name),
                protocol=protocol,
                addresses=_addresses(service),
                port=port.port,
                node_port=port.node_port or None,
                affinity_seconds=_affinity_seconds(spec),
                proxy_protocol=_VERSIONS.get(
                    meta.annotations_of(service).get(well_known.PROXY_PROTOCOL_ANNOTATION, ""), 0
                ),
                **_guard(service),
            )
            ports += _by_policy(_without(refused, whole, spec.cluster_ip), spec)
    return ports


def external_targets(service: core_v1.Service) -> set[Target]:
    """What a service wants besides its cluster IP."""
    return {
        (address, port.protocol, port.port)
        for port in service_ports(service)
        for address in (*port.addresses, *port.guarded, *port.insider_addresses)
        if address != service.spec.cluster_ip
    }


def _without(refused: Collection[Target], port: ServicePort, cluster_ip: str | None) -> ServicePort:
    if not refused:
        return port

    def kept(addresses: Iterable[str]) -> tuple[str, ...]:
        return tuple(a for a in addresses if a == cluster_ip or (a, port.protocol, port.port) not in refused)

    return replace(port, addresses=kept(port.addresses), guarded=kept(port.guarded))


def _by_policy(whole: ServicePort, spec: core_v1.ServiceSpec) -> Iterator[ServicePort]:
    """The port as it is served inside and outside the cluster: a single one if that makes no difference."""
    inside, outside = spec.internal_traffic_policy == "Local", spec.external_traffic_policy == "Local"
    external = tuple(address for address in whole.addresses if address != spec.cluster_ip)
    if not (inside or outside) or not (external or whole.guarded or whole.node_port):
        yield replace(whole, local_only=inside)
        return
    addresses = tuple(address for address in whole.addresses if address == spec.cluster_ip)
    own = replace(whole, addresses=addresses, node_port=None, guarded=(), source_ranges=(), local_only=inside)
    if not outside:
        yield own
    elif inside:
        yield own
        everywhere = replace(own, name=whole.name + EVERYWHERE, addresses=(), local_only=False)
        yield replace(everywhere, insider_addresses=external, insider_node_port=whole.node_port)
    else:
        yield replace(own, insider_addresses=external, insider_node_port=whole.node_port)
    name = whole.name + EXTERNAL
    yield replace(whole, name=name, addresses=external, local_only=outside, outsiders_only=outside)


def port_name(obj: KubeObject, port: str | None) -> str:
    return f"{meta.key_of(obj)}:{port}" if port else str(meta.key_of(obj))


def _addresses(service: core_v1.Service) -> tuple[str, ...]:
    spec = service.spec
    addresses: list[str | None] = [
        spec.cluster_ip,
        *(spec.external_ips or ()),
        *(spec.public_ips or ()),
        *(spec.deprecated_public_ips or ()),
        *(() if spec.load_balancer_source_ranges else _ingress(service)),
    ]
    return tuple(dict.fromkeys(_ipv4(addresses)))


def _ingress(service: core_v1.Service) -> list[str | None]:
    """The addresses at which a load balancer receives its traffic."""
    return [ingress.ip for ingress in service.status.load_balancer.ingress or () if ingress.ip_mode != "Proxy"]


def _guard(service: core_v1.Service) -> dict[str, Any]:
    if not service.spec.load_balancer_source_ranges:
        return {}
    open_to_all = _addresses(service)
    guarded = (address for address in dict.fromkeys(_ipv4(_ingress(service))) if address not in open_to_all)
    networks = map(_network, service.spec.load_balancer_source_ranges)
    return {"guarded": tuple(guarded), "source_ranges": tuple(network for network in networks if network)}


def _affinity_seconds(spec: core_v1.ServiceSpec) -> int | None:
    if spec.session_affinity != "ClientIP":
        return None
    config = spec.session_affinity_config
    seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
    return seconds or AFFINITY_SECONDS


def _ipv4(addresses: Iterable[str | None]) -> Iterable[str]:
    return (address for address in addresses if address and is_ipv4(address))


def _network(text: str) -> IPv4Network | None:
    """None for a range that is not IPv4, whose clients do not reach us."""
    try:
        return IPv4Network(text.strip(), strict=False)
    except ValueError:
        return None


def is_ipv4(address: str) -> bool:
    try:
        IPv4Address(address)
    except ValueError:
        return False
    return True
