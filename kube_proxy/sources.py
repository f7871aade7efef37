"""Where the proxy learns a service's endpoints from: its EndpointSlices, or its Endpoints where it has no slices.

A service has none where the API has none, and for the moment before the controllers have written them.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable
from typing import Protocol, TypeVar

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types import core_v1, discovery_v1
from apimachinery.types.objects import KubeObject
from kube_client import Client, Informer
from kube_proxy.endpoints import SERVICE_LABEL, ByPort, of_endpoints, of_slices

log = logging.getLogger(__name__)

T_co = TypeVar("T_co", bound=KubeObject, covariant=True)

BY_SERVICE = "service"
RETRY = 1.0
"""Seconds between two questions to an apiserver that does not say which resources it has."""
OnChange = Callable[[Key], object]


class Source(Protocol[T_co]):
    """What the proxier needs of an informer."""

    synced: asyncio.Event

    def get(self, key: Key) -> T_co | None: ...
    def list(self) -> Iterable[T_co]: ...
    def on_change(self, handler: Callable[[T_co | None, T_co | None], object]) -> None: ...


class EndpointsLookup(Protocol):
    """Who serves which service, as far as is known."""

    def of(self, service: Key) -> ByPort: ...
    def on_change(self, handler: OnChange) -> None: ...


class EndpointsSource(EndpointsLookup, Protocol):
    synced: asyncio.Event
    """All of it is known."""


class FromEndpoints:
    def __init__(self, endpoints: Source[core_v1.Endpoints], node: str) -> None:
        self._endpoints, self._node = endpoints, node
        self.synced = endpoints.synced

    def of(self, service: Key) -> ByPort:
        found = self._endpoints.get(service)
        return of_endpoints(found, self._node) if found else {}

    def on_change(self, handler: OnChange) -> None:
        def changed(old: core_v1.Endpoints | None, new: core_v1.Endpoints | None) -> None:
            if one := new or old:
                handler(meta.key_of(one))

        self._endpoints.on_change(changed)


class FromSlices:
    """``slices`` must have the index ``BY_SERVICE``; what they do not tell, ``otherwise`` does."""

    def __init__(self, slices: Informer[discovery_v1.EndpointSlice], otherwise: EndpointsLookup, node: str) -> None:
        self._slices, self._otherwise, self._node = slices, otherwise, node

    def of(self, service: Key) -> ByPort:
        found = self._slices.by_index(BY_SERVICE, service)
        return of_slices(found, service, self._node) if found else self._otherwise.of(service)

    def on_change(self, handler: OnChange) -> None:
        def changed(old: discovery_v1.EndpointSlice | None, new: discovery_v1.EndpointSlice | None) -> None:
            for service in {service for one in (old, new) if one for service in _services_of(one)}:
                handler(service)

        self._slices.on_change(changed)


class FromApi:
    """What the apiserver has of the two; it is asked which as soon as it answers."""

    def __init__(self, client: Client, node: str) -> None:
        self._client, self._node = client, node
        self._handlers: list[OnChange] = []
        self._endpoints = Informer(client.resource(core_v1.Endpoints))
        self._source: EndpointsLookup = FromEndpoints(self._endpoints, node)
        self.synced = asyncio.Event()

    def of(self, service: Key) -> ByPort:
        return self._source.of(service)

    def on_change(self, handler: OnChange) -> None:
        self._handlers.append(handler)
        self._source.on_change(handler)

    async def run(self) -> None:
        """Follow the endpoints until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._endpoints.run(), name="endpoints")
            if await self._has_slices():
                await self._follow_slices(tasks)
            else:
                log.info("the API has no EndpointSlices; following Endpoints alone")
            await self._endpoints.synced.wait()
            self.synced.set()

    async def _follow_slices(self, tasks: asyncio.TaskGroup) -> None:
        slices = Informer(self._client.resource(discovery_v1.EndpointSlice), indexes={BY_SERVICE: _index})
        self._source = source = FromSlices(slices, self._source, self._node)
        for handler in self._handlers:
            source.on_change(handler)
        tasks.create_task(slices.run(), name="endpointslices")
        await slices.synced.wait()

    async def _has_slices(self) -> bool:
        while True:
            try:
                await self._client.resource(discovery_v1.EndpointSlice).list(limit=1)
            except errors.NotFound:
                return False
            except errors.ApiError as exc:
                log.info("EndpointSlices: %s; will ask again", exc)
                await asyncio.sleep(RETRY)
            else:
                return True


def _index(one: discovery_v1.EndpointSlice) -> list[Hashable]:
    return [*_services_of(one)]


def _services_of(one: discovery_v1.EndpointSlice) -> list[Key]:
    """The key of the service to which a slice belongs; none if it does not say."""
    name = meta.labels_of(one).get(SERVICE_LABEL)
    return [Key(meta.namespace_of(one), name)] if name else []
