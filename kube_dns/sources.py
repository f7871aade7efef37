"""Where the endpoints of services come from, behind one small interface."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types import core_v1
from kube_client import Informer
from kube_dns.records import Endpoint, Group, Port


class EndpointSource(Protocol):
    """The endpoints of each service, as far as they are known now."""

    def groups(self, service: Key) -> list[Group]: ...

    def on_change(self, handler: Callable[[Key], None]) -> None:
        """Have ``handler(service)`` called when that service's endpoints may have changed."""

    async def wait_for_sync(self) -> None: ...


class EndpointsSource:
    """Endpoints objects: each has its service's name."""

    def __init__(self, informer: Informer[core_v1.Endpoints]) -> None:
        self._informer = informer

    def groups(self, service: Key) -> list[Group]:
        endpoints = self._informer.get(service)
        return groups_of(endpoints) if endpoints is not None else []

    def on_change(self, handler: Callable[[Key], None]) -> None:
        def changed(old: core_v1.Endpoints | None, new: core_v1.Endpoints | None) -> None:
            one = new or old
            if one is not None:
                handler(meta.key_of(one))

        self._informer.on_change(changed)

    async def wait_for_sync(self) -> None:
        await self._informer.synced.wait()


def groups_of(endpoints: core_v1.Endpoints) -> list[Group]:
    """One group per subset."""
    return [
        Group(
            endpoints=(*_endpoints(one.addresses or (), True), *_endpoints(one.not_ready_addresses or (), False)),
            ports=tuple(Port(port.name or "", port.protocol or "TCP", port.port) for port in one.ports or ()),
        )
        for one in endpoints.subsets or ()
    ]


def _endpoints(addresses: Iterable[core_v1.EndpointAddress], ready: bool) -> Iterator[Endpoint]:
    for address in addresses:
        yield Endpoint(address.ip, address.hostname or "", ready)
