"""The endpoints of services, as EndpointSlices list them. Pure.

Slices are the only source: a service's own, and the mirrors of Endpoints that people write by hand. A service may
have several slices, and while an endpoint moves from one to another it is in both.
"""

from collections.abc import Hashable, Iterable

from apimachinery import meta
from apimachinery.core.services import service_of
from apimachinery.types import discovery_v1
from kube_dns.records import Endpoint, Group, Port

BY_SERVICE = "service"
"""The index of an informer of slices by ``index``."""

_ADDRESS_TYPES = ("IPv4", "IPv6")


def index(endpoint_slice: discovery_v1.EndpointSlice) -> list[Hashable]:
    service = service_of(endpoint_slice)
    return [service] if service else []


def groups_of(slices: Iterable[discovery_v1.EndpointSlice]) -> list[Group]:
    """One group per slice, in the order of their names, so that answers do not depend on the order of events."""
    return [
        Group(
            # No condition counts as ready. A terminating endpoint is not ready, even while it still serves.
            endpoints=tuple(
                Endpoint(
                    address, endpoint.hostname or "", not endpoint.conditions or endpoint.conditions.ready is not False
                )
                for endpoint in endpoint_slice.endpoints or ()
                for address in endpoint.addresses
            ),
            ports=tuple(
                Port(port.name or "", port.protocol or "TCP", port.port)
                for port in endpoint_slice.ports or ()
                if port.port is not None
            ),
        )
        for endpoint_slice in sorted(slices, key=meta.name_of)
        if endpoint_slice.address_type in _ADDRESS_TYPES
    ]
