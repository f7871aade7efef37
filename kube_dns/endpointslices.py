"""The endpoints of services, as EndpointSlices tell of them. Pure.

Slices are the only source: a service's own, and the mirrors of Endpoints that people write by hand. A service may
have several slices, and while an endpoint moves from one to another it is in both.
"""

from collections.abc import Hashable, Iterable, Iterator

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types import discovery_v1
from kube_dns.records import Endpoint, Group, Port

BY_SERVICE = "service"
"""The index of an informer of slices by ``index``."""

_SERVICE_NAME = "kubernetes.io/service-name"
_ADDRESS_TYPES = ("IPv4", "IPv6")


def index(one: discovery_v1.EndpointSlice) -> list[Hashable]:
    return [*services_of(one)]


def services_of(one: discovery_v1.EndpointSlice) -> list[Key]:
    """The key of the service whose slice this is; none if it does not say."""
    name = meta.labels_of(one).get(_SERVICE_NAME)
    return [Key(meta.namespace_of(one), name)] if name else []


def groups_of(slices: Iterable[discovery_v1.EndpointSlice]) -> list[Group]:
    """One group per slice, in the order of their names, so that answers do not depend on the order of events."""
    ordered = sorted((one for one in slices if one.address_type in _ADDRESS_TYPES), key=meta.name_of)
    return [
        Group(
            endpoints=tuple(endpoint for each in one.endpoints or () for endpoint in _endpoints(each)),
            ports=tuple(
                Port(port.name or "", port.protocol or "TCP", port.port)
                for port in one.ports or ()
                if port.port is not None
            ),
        )
        for one in ordered
    ]


def _endpoints(one: discovery_v1.Endpoint) -> Iterator[Endpoint]:
    """Ready is what says so, and what says nothing. One on its way out is not ready, even while it still serves."""
    conditions = one.conditions or discovery_v1.EndpointConditions()
    for address in one.addresses:
        yield Endpoint(address, one.hostname or "", ready=conditions.ready is not False)
