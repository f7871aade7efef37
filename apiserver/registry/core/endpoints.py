"""Endpoints: the addresses behind a service."""

from collections.abc import Iterator
from typing import Final

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import EndpointAddress, EndpointPort, Endpoints
from apiserver.registry import columns
from apiserver.registry.core.pod_validation import PROTOCOLS
from apiserver.registry.field_rules import port_number, reachable_address, required
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy

_SHOWN: Final = 3


class EndpointsStrategy(Strategy[Endpoints]):
    allow_create_on_update = True

    def default(self, obj: Endpoints) -> None:
        for subset in obj.subsets or ():
            for port in subset.ports or ():
                port.protocol = port.protocol or "TCP"

    def validate(self, obj: Endpoints) -> Iterator[FieldError]:
        for i, subset in enumerate(obj.subsets or ()):
            path = Path("subsets")[i]
            if not subset.addresses and not subset.not_ready_addresses:
                yield path.required("must specify `addresses` or `notReadyAddresses`")
            for field, addresses in (
                ("addresses", subset.addresses),
                ("notReadyAddresses", subset.not_ready_addresses),
            ):
                for j, address in enumerate(addresses or ()):
                    yield from _address((path / field)[j], address)
            for j, port in enumerate(subset.ports or ()):
                yield from _port((path / "ports")[j], port, needs_name=len(subset.ports or ()) > 1)


def _address(path: Path, address: EndpointAddress) -> Iterator[FieldError]:
    yield from reachable_address(path / "ip", address.ip)
    if address.hostname:
        yield from names.check(path / "hostname", address.hostname, names.dns_label)


def _port(path: Path, port: EndpointPort, *, needs_name: bool) -> Iterator[FieldError]:
    if needs_name and not port.name:
        yield (path / "name").required()
    elif port.name:
        yield from names.check(path / "name", port.name, names.dns_label)
    yield from port_number(path / "port", port.port)
    yield from required(path / "protocol", port.protocol, PROTOCOLS)


def _text(endpoints: Endpoints) -> str:
    places = [
        f"{address.ip}:{port.port}" if port else address.ip
        for subset in endpoints.subsets or ()
        for port in (*(subset.ports or ()), *(() if subset.ports else (None,)))
        for address in subset.addresses or ()
    ]
    return columns.first_few(places, _SHOWN)


ENDPOINTS = StoredResource(
    Endpoints,
    EndpointsStrategy(),
    singular="endpoints",
    short_names=("ep",),
    columns=(columns.name(), columns.Column("Endpoints", _text), columns.age()),
)
