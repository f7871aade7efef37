"""Which DNS records a service has, after Kubernetes' DNS-Based Service Discovery, version 1.1.0.

Pure: a Service and the groups of its endpoints in, records by name out. Names are lower case, dotted, without
the last dot. What is published beyond the specification, as CoreDNS does: an endpoint without a hostname is called by
its address with dashes, endpoints of services with a cluster IP have names too, and the names of services and of
endpoints have an SRV record for each port, also for those without a name.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from apimachinery import meta
from apimachinery.core.services import publishes_unready
from apimachinery.types import core_v1

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
TXT: Final = 16
AAAA: Final = 28
SRV: Final = 33

SCHEMA_VERSION = "1.1.0"
WEIGHT = 100
"""Of every SRV record: all endpoints are alike."""


class Record(NamedTuple):
    """``value`` is an address, a name or a text; ``port`` counts for SRV alone."""

    type: int
    value: str
    port: int = 0


@dataclass(frozen=True)
class Endpoint:
    ip: str
    hostname: str = ""
    ready: bool = True


@dataclass(frozen=True)
class Port:
    name: str
    protocol: str
    port: int


@dataclass(frozen=True)
class Group:
    """Endpoints that share their ports."""

    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...]


Records = Mapping[str, tuple[Record, ...]]


def of_service(service: core_v1.Service, groups: Sequence[Group], domain: str) -> Records:
    """Every record of one service, PTR records included."""
    name = f"{meta.name_of(service)}.{meta.namespace_of(service)}.svc.{domain}".lower()
    spec = service.spec
    if spec.type == "ExternalName":
        return {name: (Record(CNAME, _plain(spec.external_name or "")),)} if spec.external_name else {}
    ready = list(_ready(groups, publishes_unready(service)))
    collector = _Collector()
    collector.add_all(_of_endpoints(name, ready))
    addresses = cluster_ips(spec)
    if addresses:
        collector.add_all(_of_cluster_ips(name, addresses, spec.ports or ()))
    else:
        collector.add_all(_of_headless(name, ready))
    return collector.records()


def of_namespace(namespace: str, domain: str) -> Records:
    """A namespace has names of its own, whether there is anything in it or not."""
    return {f"{namespace}.svc.{domain}": (), f"{namespace}.pod.{domain}": ()}


def of_domain(domain: str, server_ip: str | None) -> Records:
    """The records of the cluster's domain that do not depend on its services. ``server_ip`` is the DNS service's own."""
    server = f"ns.dns.{domain}"
    records: dict[str, tuple[Record, ...]] = {
        domain: (Record(NS, server),),
        f"svc.{domain}": (),
        f"pod.{domain}": (),
        f"dns-version.{domain}": (Record(TXT, SCHEMA_VERSION),),
        server: (Record(A, server_ip),) if server_ip else (),
    }
    return records


def cluster_ips(spec: core_v1.ServiceSpec) -> list[str]:
    """Empty for a headless service."""
    addresses = spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else [])
    return [address for address in addresses if address and address != "None"]


def address_record(ip: str) -> Record:
    return Record(AAAA if ":" in ip else A, ip)


def dashed(ip: str) -> str:
    """An address as a label."""
    return ip.replace(".", "-").replace(":", "-")


def undashed(label: str) -> str | None:
    """The address of a label such as "10-1-2-3", or None."""
    separator = "." if label.count("-") == 3 and "--" not in label else ":"
    try:
        return str(ipaddress.ip_address(label.replace("-", separator)))
    except ValueError:
        return None


def reverse(ip: str) -> str:
    """The name in in-addr.arpa or ip6.arpa; raises ValueError for what is not an address."""
    return ipaddress.ip_address(ip).reverse_pointer


class _Collector:
    """Records by name, each once, in the order they came."""

    def __init__(self) -> None:
        self._records: dict[str, dict[Record, None]] = {}

    def add_all(self, records: Iterable[tuple[str, Record]]) -> None:
        for name, record in records:
            self._records.setdefault(name, {})[record] = None

    def records(self) -> Records:
        return {name: tuple(records) for name, records in self._records.items()}


def _ready(groups: Sequence[Group], unready_too: bool) -> Iterator[tuple[Endpoint, tuple[Port, ...]]]:
    for group in groups:
        for endpoint in group.endpoints:
            if endpoint.ready or unready_too:
                yield endpoint, group.ports


def _of_cluster_ips(
    name: str, addresses: Iterable[str], ports: Iterable[core_v1.ServicePort]
) -> Iterator[tuple[str, Record]]:
    for ip in addresses:
        yield name, address_record(ip)
        yield reverse(ip), Record(PTR, name)
    for port in ports:
        record = Record(SRV, name, port.port)
        yield name, record
        if port.name:
            yield _port_name(port.name, port.protocol or "TCP", name), record


def _of_headless(name: str, ready: Iterable[tuple[Endpoint, tuple[Port, ...]]]) -> Iterator[tuple[str, Record]]:
    for endpoint, ports in ready:
        yield name, address_record(endpoint.ip)
        target = _endpoint_name(endpoint, name)
        for port in ports:
            record = Record(SRV, target, port.port)
            yield name, record
            if port.name:
                yield _port_name(port.name, port.protocol, name), record


def _of_endpoints(name: str, ready: Iterable[tuple[Endpoint, tuple[Port, ...]]]) -> Iterator[tuple[str, Record]]:
    for endpoint, ports in ready:
        own = _endpoint_name(endpoint, name)
        yield own, address_record(endpoint.ip)
        yield reverse(endpoint.ip), Record(PTR, own)
        for port in ports:
            yield own, Record(SRV, own, port.port)


def _endpoint_name(endpoint: Endpoint, service_name: str) -> str:
    return f"{(endpoint.hostname or dashed(endpoint.ip)).lower()}.{service_name}"


def _port_name(port: str, protocol: str, service_name: str) -> str:
    return f"_{port}._{protocol}".lower() + f".{service_name}"


def _plain(name: str) -> str:
    return name.lower().rstrip(".")
