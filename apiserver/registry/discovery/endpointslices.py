"""Endpoint slices: parts of the addresses behind a service."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from apimachinery import names
from apimachinery.core.addresses import special
from apimachinery.fields import FieldError, Path
from apimachinery.types.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.core.pod_validation import PROTOCOLS
from apiserver.registry.field_rules import port_number
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy

ADDRESS_TYPES: Final = ("FQDN", "IPv4", "IPv6")
_MOST_ENDPOINTS: Final = 1000
_MOST_ADDRESSES: Final = 100
_SHOWN: Final = 3


class EndpointSliceKind(Strategy[EndpointSlice]):
    counts_generations = True

    def default(self, obj: EndpointSlice) -> None:
        for port in obj.ports or ():
            port.name = port.name or ""
            port.protocol = port.protocol or "TCP"
        for endpoint in obj.endpoints or ():
            endpoint.conditions = endpoint.conditions or EndpointConditions()  # Go always writes it

    def desired_state(self, obj: EndpointSlice) -> object:
        return obj.address_type, obj.endpoints, obj.ports, obj.metadata.labels

    def validate(self, obj: EndpointSlice) -> Iterator[FieldError]:
        yield from field_rules.required(Path("addressType"), obj.address_type, ADDRESS_TYPES)
        endpoints = obj.endpoints or []
        if len(endpoints) > _MOST_ENDPOINTS:
            yield Path("endpoints").invalid(len(endpoints), f"must have at most {_MOST_ENDPOINTS} items")
        for i, endpoint in enumerate(endpoints):
            yield from _endpoint(Path("endpoints")[i], endpoint, obj.address_type)
        yield from _ports(obj.ports or [])

    def validate_update(self, obj: EndpointSlice, old: EndpointSlice) -> Iterator[FieldError]:
        yield from field_rules.immutable(Path(), obj, old, "address_type")


def _endpoint(path: Path, endpoint: Endpoint, kind: str) -> Iterator[FieldError]:
    if not endpoint.addresses:
        yield (path / "addresses").required("must contain at least 1 address")
    elif len(endpoint.addresses) > _MOST_ADDRESSES:
        yield (path / "addresses").invalid(len(endpoint.addresses), f"must have at most {_MOST_ADDRESSES} items")
    for i, address in enumerate(endpoint.addresses):
        yield from _address((path / "addresses")[i], address, kind)
    if endpoint.hostname is not None:
        yield from names.check(path / "hostname", endpoint.hostname, names.dns_label)
    if endpoint.node_name is not None:
        yield from names.check(path / "nodeName", endpoint.node_name, names.dns_subdomain)


def _address(path: Path, text: str, kind: str) -> Iterator[FieldError]:
    if kind == "FQDN":
        yield from names.check(path, text, names.dns_subdomain)
        return
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        yield path.invalid(text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
        return
    if kind in ("IPv4", "IPv6") and kind != f"IPv{address.version}":
        yield path.invalid(text, f"must be a valid {kind} address")
    if fault := special(address):
        yield path.invalid(text, fault)


def _ports(ports: Sequence[EndpointPort]) -> Iterator[FieldError]:
    earlier: set[str] = set()
    for i, port in enumerate(ports):
        path = Path("ports")[i]
        if port.name in earlier:
            yield (path / "name").duplicate(port.name)
        earlier.add(port.name or "")
        if port.name:
            yield from names.check(path / "name", port.name, names.dns_label)
        if port.port is not None:
            yield from port_number(path / "port", port.port)
        yield from field_rules.required(path / "protocol", port.protocol, PROTOCOLS)
        if port.app_protocol:
            yield from names.check(path / "appProtocol", port.app_protocol, names.qualified_name)


def _first(values: list[str]) -> str:
    return columns.first_few(values, _SHOWN) if values else "<unset>"


def _ports_text(obj: EndpointSlice) -> str:
    return _first([str(port.port) if port.port is not None else port.name or "*" for port in obj.ports or ()])


ENDPOINT_SLICES = StoredResource(
    EndpointSlice,
    EndpointSliceKind(),
    singular="endpointslice",
    columns=(
        columns.name(),
        Column("AddressType", lambda obj: obj.address_type),
        Column("Ports", _ports_text),
        Column(
            "Endpoints",
            lambda obj: _first([address for endpoint in obj.endpoints or () for address in endpoint.addresses]),
        ),
        columns.age(),
    ),
)
