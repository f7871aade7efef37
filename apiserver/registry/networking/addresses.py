"""Ranges of service addresses, and who holds which address, as objects. They are only stored here: the addresses of
services are claimed in the services' own transactions."""

import ipaddress
from collections.abc import Iterator

from apimachinery.fields import FieldError
from apimachinery.names import NameRule
from apimachinery.types.networking_v1 import IPAddress, ServiceCIDR, ServiceCIDRStatus
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource
from apiserver.registry.workloads import SPEC


def ip_name(name: str) -> str | None:
    """An address in the one spelling that counts."""
    try:
        canonical = str(ipaddress.ip_address(name))
    except ValueError:
        return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    return None if canonical == name else f'must be in canonical form ("{canonical}")'


class IPAddressKind(Strategy[IPAddress]):
    name_rule: NameRule = staticmethod(ip_name)

    def validate(self, obj: IPAddress) -> Iterator[FieldError]:
        parent = obj.spec.parent_ref
        for field, value in (("resource", parent.resource), ("name", parent.name)):
            if not value:
                yield (SPEC / "parentRef" / field).required()

    def validate_update(self, obj: IPAddress, old: IPAddress) -> Iterator[FieldError]:
        yield from field_rules.immutable(SPEC, obj.spec, old.spec, "parent_ref")


def _parent(obj: IPAddress) -> str:
    parent = obj.spec.parent_ref
    group = f".{parent.group}" if parent.group else ""
    namespace = f"{parent.namespace}/" if parent.namespace else ""
    return f"{parent.resource}{group}/{namespace}{parent.name}"


IP_ADDRESSES = StoredResource(
    IPAddress,
    IPAddressKind(),
    singular="ipaddress",
    short_names=("ip",),
    columns=(columns.name(), Column("ParentRef", _parent)),
)


class ServiceCIDRKind(Strategy[ServiceCIDR]):
    def prepare_for_create(self, obj: ServiceCIDR) -> None:
        obj.status = ServiceCIDRStatus()

    def prepare_for_update(self, obj: ServiceCIDR, old: ServiceCIDR) -> None:
        obj.status = old.status

    def validate(self, obj: ServiceCIDR) -> Iterator[FieldError]:
        path, ranges = SPEC / "cidrs", obj.spec.cidrs or []
        if not ranges:
            yield path.required("at least one CIDR required")
        elif len(ranges) > 2:
            yield path.invalid(ranges, "may only hold up to 2 values")
        for i, text in enumerate(ranges):
            try:
                ipaddress.ip_network(text)
            except ValueError:
                yield path[i].invalid(text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")

    def validate_update(self, obj: ServiceCIDR, old: ServiceCIDR) -> Iterator[FieldError]:
        yield from field_rules.immutable(SPEC, obj.spec, old.spec, "cidrs")


_CIDR = ServiceCIDRKind()

SERVICE_CIDRS = StoredResource(
    ServiceCIDR,
    _CIDR,
    singular="servicecidr",
    columns=(columns.name(), Column("CIDRs", lambda obj: ",".join(obj.spec.cidrs or ())), columns.age()),
    subresources={"status": ObjectSubresource(StatusStrategy[ServiceCIDR](_CIDR))},
)
