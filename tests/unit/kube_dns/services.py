"""Services, endpoints and zones made of them, for the tests beside this file."""

from collections.abc import Sequence

from apimachinery import meta
from apimachinery.types import core_v1, meta_v1
from kube_dns import records
from kube_dns.records import AAAA, A, Endpoint, Group, Port, Record
from kube_dns.zone import Zone

DOMAIN = "cluster.local"


def service(name: str = "web", namespace: str = "prod", ports: tuple[tuple[str, int], ...] = (), **spec: object):
    spec.setdefault("cluster_ip", "10.0.0.7")
    made = [core_v1.ServicePort(name=name, protocol="TCP", port=port) for name, port in ports]
    return core_v1.Service(
        metadata=meta_v1.ObjectMeta(name=name, namespace=namespace),
        spec=core_v1.ServiceSpec(ports=made, **spec),  # type: ignore[arg-type]
    )


def group(*endpoints: Endpoint, ports: tuple[tuple[str, int], ...] = ()) -> Group:
    return Group(endpoints, tuple(Port(name, "TCP", port) for name, port in ports))


def addresses_of(found: Sequence[Record]) -> tuple[Record, ...]:
    """The records without those that name ports."""
    return tuple(record for record in found if record.type in (A, AAAA))


def zone_of(*services: tuple[core_v1.Service, list[Group]], server_ip: str | None = None) -> Zone:
    zone = Zone(DOMAIN, server_ip)
    for namespace in {meta.namespace_of(service) for service, _ in services}:
        zone.replace(namespace, records.of_namespace(namespace, DOMAIN))
    for service, groups in services:
        zone.replace(meta.key_of(service), records.of_service(service, groups, DOMAIN))
    return zone
