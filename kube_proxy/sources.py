"""A service's endpoints: from its EndpointSlices, or from its Endpoints where it has no slices.

It has none where the API has none, and until the controllers have written them.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable
from typing import Protocol, TypeVar

from apimachinery import errors, meta
from apimachinery.core.services import service_of
from apimachinery.meta import Key
from apimachinery.types import core_v1, discovery_v1
from apimachinery.types.objects import KubeObject
from kube_client import Client, Informer
from kube_proxy.endpoints import ByPort, of_endpoints, of_slices

log = logging.getLogger(__name__)

T_co = TypeVar("T_co", bound=KubeObject, covariant=True)

BY_SERVICE = "service"
RETRY = 1.0
"""Seconds between two questions to an apiserver that does not answer which resources it has."""
OnChange = Callable[[Key], object]


class Source(Protocol[T_co]):
    """What the proxier needs of an informer."""

    synced: asyncio.Event

    def get(self, key: Key) -> T_co | None: ...
    def list(self) -> Iterable[T_co]: ...
    def on_change(self, handler: Callable[[T_co | None, T_co | None], object]) -> None: ...


class EndpointsLookup(Protocol):
    """The endpoints of services, as far as they are known."""

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
        endpoints = self._endpoints.get(service)
        return of_endpoints(endpoints, self._node) if endpoints else {}

    def on_change(self, handler: OnChange) -> None:
        def changed(old: core_v1.Endpoints | None, new: core_v1.Endpoints | None) -> None:
            if latest := new or old:
                handler(meta.key_of(latest))

        self._endpoints.on_change(changed)


class FromSlices:
    """``slices`` must have the index ``BY_SERVICE``; services without slices are looked up in ``otherwise``."""

    def __init__(self, slices: Informer[discovery_v1.EndpointSlice], otherwise: EndpointsLookup, node: str) -> None:
        self._slices, self._otherwise, self._node = slices, otherwise, node

    def of(self, service: Key) -> ByPort:
        slices = self._slices.by_index(BY_SERVICE, service)
        return of_slices(slices, service, self._node) if slices else self._otherwise.of(service)

    def on_change(self, handler: OnChange) -> None:
        def changed(old: discovery_v1.EndpointSlice | None, new: discovery_v1.EndpointSlice | None) -> None:
            services = (service_of(version) for version in (old, new) if version)
            for service in {service for service in services if service}:
                handler(service)

        self._slices.on_change(changed)


class FromApi:
    """EndpointSlices if the apiserver has them, otherwise Endpoints; it is asked as soon as it answers."""

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


def _index(endpoint_slice: discovery_v1.EndpointSlice) -> list[Hashable]:
    service = service_of(endpoint_slice)
    return [service] if service else []
