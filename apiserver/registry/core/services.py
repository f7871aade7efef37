"""Services: a stable address for whatever pods are behind it."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import (
    ClientIPConfig,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
)
from apiserver.registry import columns
from apiserver.registry.core import service_traffic
from apiserver.registry.core.allocators import (
    HEADLESS,
    PortRange,
    ServiceAllocator,
    ServiceRange,
    keep_node_ports,
    wants_cluster_ip,
    wants_node_ports,
)
from apiserver.registry.core.pod_validation import PROTOCOLS
from apiserver.registry.field_rules import address as valid_address
from apiserver.registry.field_rules import port_number, port_reference, reachable_address, required
from apiserver.registry.status_rules import STATUS, balancer
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource, proxy

TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITIES: Final = ("ClientIP", "None")
FAMILY: Final = "IPv4"  # of the service range
FAMILIES: Final = ("IPv4", "IPv6")
FAMILY_POLICIES: Final = ("PreferDualStack", "RequireDualStack", "SingleStack")
AFFINITY_SECONDS: Final = 10800
_LONGEST_AFFINITY: Final = 86400
_KUBELET_PORT: Final = 10250
_SPEC: Final = Path("spec")


class ServiceStrategy(Strategy[Service]):
    returns_deleted = True
    allow_create_on_update = True
    name_rule = staticmethod(names.dns_label_1035)

    def __init__(self, addresses: ServiceRange, ports: PortRange) -> None:
        self._addresses, self._ports = addresses, ports

    def default(self, obj: Service) -> None:
        spec = obj.spec
        spec.type = spec.type or "ClusterIP"
        spec.session_affinity = spec.session_affinity or "None"
        for port in spec.ports or ():
            port.protocol = port.protocol or "TCP"
            if port.target_port in (None, 0, ""):
                port.target_port = port.port
        if spec.session_affinity == "ClientIP":
            _default_affinity(spec)
        elif spec.session_affinity == "None":
            spec.session_affinity_config = None
        if spec.type != "ExternalName":
            spec.internal_traffic_policy = spec.internal_traffic_policy or "Cluster"
            spec.ip_families = spec.ip_families or [FAMILY]
            spec.ip_family_policy = spec.ip_family_policy or "SingleStack"
        service_traffic.default(spec)
        if not spec.cluster_ip and spec.cluster_ips:
            spec.cluster_ip = spec.cluster_ips[0]
        if spec.cluster_ip and not spec.cluster_ips:
            spec.cluster_ips = [spec.cluster_ip]

    def prepare_for_create(self, obj: Service) -> None:
        obj.status = ServiceStatus()
        self._drop_unused(obj)

    def prepare_for_update(self, obj: Service, old: Service) -> None:
        obj.status = old.status
        if obj.spec.type != "ExternalName" and not obj.spec.cluster_ip:
            obj.spec.cluster_ip, obj.spec.cluster_ips = old.spec.cluster_ip, old.spec.cluster_ips
        if wants_node_ports(obj):
            keep_node_ports(obj.spec.ports or [], old.spec.ports or [])
        service_traffic.carry_over(obj, old)
        self._drop_unused(obj, old)

    def _drop_unused(self, obj: Service, old: Service | None = None) -> None:
        """Remove fields of the old type that the new one may not have."""
        spec = obj.spec
        changed = old is not None and old.spec.type != spec.type
        if changed and not wants_node_ports(obj):
            for port in spec.ports or ():
                port.node_port = None
        if changed and spec.type == "ExternalName" and old is not None and spec.cluster_ip == old.spec.cluster_ip:
            spec.cluster_ip = spec.cluster_ips = None
        if spec.type == "ExternalName":
            spec.ip_families = spec.ip_family_policy = spec.internal_traffic_policy = None

    def validate(self, obj: Service) -> Iterator[FieldError]:
        spec = obj.spec
        if spec.type not in TYPES:
            yield (_SPEC / "type").not_supported(spec.type, TYPES)
        yield from _families(spec)
        yield from self._addresses_of(spec)
        yield from self._ports_of(obj)
        yield from names.validate_labels(_SPEC / "selector", spec.selector)
        yield from required(_SPEC / "sessionAffinity", spec.session_affinity, AFFINITIES)
        yield from _affinity(spec)
        yield from service_traffic.validate(obj)
        if spec.type == "ExternalName":
            if not spec.external_name:
                yield (_SPEC / "externalName").required()
            else:
                yield from names.check(_SPEC / "externalName", spec.external_name.rstrip("."), names.dns_subdomain)

    def _addresses_of(self, spec: ServiceSpec) -> Iterator[FieldError]:
        for field, addresses in (
            ("externalIPs", spec.external_ips),
            ("publicIPs", spec.public_ips),
            ("deprecatedPublicIPs", spec.deprecated_public_ips),
        ):
            for i, address in enumerate(addresses or ()):
                yield from self._external((_SPEC / field)[i], address)
        path = (_SPEC / "clusterIPs")[0]
        if spec.type == "ExternalName":
            if spec.cluster_ip:
                yield (_SPEC / "clusterIPs").forbidden("may not be set when `type` is 'ExternalName'")
        elif spec.cluster_ip == HEADLESS:
            if spec.type != "ClusterIP":
                yield path.invalid(spec.cluster_ip, f"may not be set to 'None' for {spec.type} services")
        elif spec.cluster_ip:
            faults = list(valid_address(path, spec.cluster_ip))
            yield from faults
            if not faults and ipaddress.ip_address(spec.cluster_ip) not in self._addresses:
                yield (_SPEC / "clusterIPs").invalid(
                    [spec.cluster_ip],
                    f"failed to allocate IP {spec.cluster_ip}: the provided IP ({spec.cluster_ip}) is not in the "
                    f"valid range. The range of valid IPs is {self._addresses}",
                )
        if spec.cluster_ips and spec.cluster_ip != spec.cluster_ips[0]:
            yield (_SPEC / "clusterIPs").invalid(spec.cluster_ips, "first value must match `clusterIP`")
        if len(spec.cluster_ips or ()) > 1:
            yield (_SPEC / "clusterIPs").invalid(
                spec.cluster_ips, "may specify no more than one IP for each IP family, and this cluster has one family"
            )

    def _external(self, path: Path, address: str) -> Iterator[FieldError]:
        faults = list(reachable_address(path, address))
        yield from faults
        if not faults and ipaddress.ip_address(address) in self._addresses:
            yield path.invalid(address, f"may not be in the range of cluster IPs ({self._addresses})")

    def _ports_of(self, service: Service) -> Iterator[FieldError]:
        spec, path = service.spec, _SPEC / "ports"
        if not spec.ports and spec.type != "ExternalName" and spec.cluster_ip != HEADLESS:
            yield path.required()
        seen_names: set[str] = set()
        seen_ports: set[tuple[str | None, int]] = set()
        seen_node_ports: set[tuple[str | None, int]] = set()
        for i, port in enumerate(spec.ports or ()):
            yield from _port(path[i], port, needs_name=len(spec.ports or ()) > 1)
            if port.name and port.name in seen_names:
                yield (path[i] / "name").duplicate(port.name)
            if (port.protocol, port.port) in seen_ports:
                yield path[i].duplicate({"port": port.port, "protocol": port.protocol})
            seen_names.add(port.name or "")
            seen_ports.add((port.protocol, port.port))
            yield from self._node_port(path[i] / "nodePort", port, service)
            if port.node_port:
                if (port.protocol, port.node_port) in seen_node_ports:
                    yield (path[i] / "nodePort").duplicate(port.node_port)
                seen_node_ports.add((port.protocol, port.node_port))
            if port.port == _KUBELET_PORT and spec.type == "LoadBalancer":
                yield (path[i] / "port").invalid(
                    port.port, f"may not expose port {_KUBELET_PORT} externally since it is used by kubelet"
                )
            if port.app_protocol:
                yield from names.check(path[i] / "appProtocol", port.app_protocol, names.qualified_name)

    def _node_port(self, path: Path, port: ServicePort, service: Service) -> Iterator[FieldError]:
        if not port.node_port:
            return
        if service.spec.type in ("ClusterIP", "ExternalName"):
            yield path.forbidden(f"may not be used when `type` is '{service.spec.type}'")
        elif port.node_port not in self._ports:
            yield path.invalid(
                port.node_port,
                f"provided port is not in the valid range. The range of valid ports is "
                f"{self._ports.start}-{self._ports.stop - 1}",
            )

    def validate_update(self, obj: Service, old: Service) -> Iterator[FieldError]:
        """An address stays with a service for as long as it needs one."""
        keeps = wants_cluster_ip(old) and obj.spec.type != "ExternalName" and old.spec.cluster_ip
        if keeps and obj.spec.cluster_ip != old.spec.cluster_ip:
            yield (_SPEC / "clusterIPs")[0].invalid([obj.spec.cluster_ip], "may not change once set")
        yield from service_traffic.validate_update(obj, old)

    def warnings(self, obj: Service) -> Iterator[str]:
        for field, addresses in (
            ("publicIPs", obj.spec.public_ips),
            ("deprecatedPublicIPs", obj.spec.deprecated_public_ips),
        ):
            if addresses:
                yield f"spec.{field} is deprecated; use spec.externalIPs, or spec.type NodePort"


class ServiceStatusStrategy(StatusStrategy[Service]):
    def default(self, obj: Service) -> None:
        super().default(obj)
        for point in obj.status.load_balancer.ingress or ():
            if point.ip and point.ip_mode is None:
                point.ip_mode = "VIP"

    def validate_update(self, obj: Service, old: Service) -> Iterator[FieldError]:
        yield from super().validate_update(obj, old)
        path, ingress = STATUS / "loadBalancer", obj.status.load_balancer.ingress
        if ingress and obj.spec.type != "LoadBalancer":
            yield (path / "ingress").forbidden("may only be used when `spec.type` is LoadBalancer")
        yield from balancer(path, ingress)


def _families(spec: ServiceSpec) -> Iterator[FieldError]:
    """The service range is of one family; a service may prefer two, and must not need them."""
    for i, family in enumerate(spec.ip_families or ()):
        if family not in FAMILIES:
            yield (_SPEC / "ipFamilies")[i].not_supported(family, FAMILIES)
        elif family != FAMILY:
            yield (_SPEC / "ipFamilies")[i].invalid(family, "not configured on this cluster")
        elif family in (spec.ip_families or [])[:i]:
            yield (_SPEC / "ipFamilies")[i].duplicate(family)
    if spec.ip_family_policy and spec.ip_family_policy not in FAMILY_POLICIES:
        yield (_SPEC / "ipFamilyPolicy").not_supported(spec.ip_family_policy, FAMILY_POLICIES)
    elif spec.ip_family_policy == "RequireDualStack":
        yield (_SPEC / "ipFamilyPolicy").invalid(
            spec.ip_family_policy, "this cluster is not configured for dual-stack services"
        )


def _default_affinity(spec: ServiceSpec) -> None:
    config = spec.session_affinity_config or SessionAffinityConfig()
    config.client_ip = config.client_ip or ClientIPConfig()
    if config.client_ip.timeout_seconds is None:
        config.client_ip.timeout_seconds = AFFINITY_SECONDS
    spec.session_affinity_config = config


def _affinity(spec: ServiceSpec) -> Iterator[FieldError]:
    config = spec.session_affinity_config
    seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
    if seconds is not None and not 0 < seconds <= _LONGEST_AFFINITY:
        yield (_SPEC / "sessionAffinityConfig" / "clientIP" / "timeoutSeconds").invalid(
            seconds, f"must be greater than 0 and less than {_LONGEST_AFFINITY}"
        )


def _port(path: Path, port: ServicePort, *, needs_name: bool) -> Iterator[FieldError]:
    if needs_name and not port.name:
        yield (path / "name").required()
    elif port.name:
        yield from names.check(path / "name", port.name, names.dns_label)
    yield from port_number(path / "port", port.port)
    yield from required(path / "protocol", port.protocol, PROTOCOLS)
    if port.target_port is not None:
        yield from port_reference(path / "targetPort", port.target_port)


def _external(service: Service) -> str:
    """What the EXTERNAL-IP column says."""
    spec = service.spec
    public = [*(spec.external_ips or ()), *(spec.public_ips or ()), *(spec.deprecated_public_ips or ())]
    if spec.type == "ExternalName":
        return spec.external_name or "<none>"
    if spec.type == "LoadBalancer":
        ingress = [point.ip or point.hostname or "" for point in service.status.load_balancer.ingress or ()]
        return ",".join([*ingress, *public]) or "<pending>"
    return columns.joined(public)


def _ports_text(ports: Sequence[ServicePort]) -> str:
    return columns.joined(
        f"{port.port}:{port.node_port}/{port.protocol}" if port.node_port else f"{port.port}/{port.protocol}"
        for port in ports
    )


def services(addresses: ServiceRange, ports: PortRange) -> StoredResource[Service]:
    """The row, for clusters with these ranges of addresses and node ports."""
    strategy = ServiceStrategy(addresses, ports)
    return StoredResource(
        Service,
        strategy,
        singular="service",
        short_names=("svc",),
        categories=("all",),
        columns=(
            columns.name(),
            columns.Column("Type", lambda service: service.spec.type),
            columns.Column("Cluster-IP", lambda service: service.spec.cluster_ip or "<none>"),
            columns.Column("External-IP", _external),
            columns.Column("Port(s)", lambda service: _ports_text(service.spec.ports or ())),
            columns.age(),
            columns.wide("Selector", lambda service: columns.labels_text(service.spec.selector)),
        ),
        fields={
            "spec.clusterIP": lambda service: service.spec.cluster_ip or "",
            "spec.type": lambda service: service.spec.type or "",
        },
        subresources={
            "status": ObjectSubresource(ServiceStatusStrategy(strategy)),
            "proxy": proxy("ServiceProxyOptions"),
        },
        allocator=ServiceAllocator(addresses, ports),
    )
