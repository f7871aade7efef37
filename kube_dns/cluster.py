"""Keeps the zone equal to the cluster's services and namespaces.

Reads informers' copies only. Each change names a service whose records are made again from the whole picture, at
once: an answer is never older than the watch. Until the first lists are in, ``synced`` is not set and the zone holds
none of them: a part of a service's endpoints is never taken for all of them, and nobody may conclude from the zone that
a name does not exist.
"""

import asyncio
import logging
import time

from apimachinery import meta
from apimachinery.core.services import service_of
from apimachinery.meta import Key
from apimachinery.types import core_v1, discovery_v1
from kube_client import Informer
from kube_dns import metrics, records
from kube_dns.endpointslices import BY_SERVICE, groups_of
from kube_dns.zone import Zone

log = logging.getLogger(__name__)


class Cluster:
    """``slices`` must have the index ``BY_SERVICE``."""

    def __init__(
        self,
        zone: Zone,
        services: Informer[core_v1.Service],
        slices: Informer[discovery_v1.EndpointSlice],
        namespaces: Informer[core_v1.Namespace],
    ) -> None:
        self.synced = asyncio.Event()
        self._zone, self._services, self._slices, self._namespaces = zone, services, slices, namespaces
        services.on_change(self._on_service)
        slices.on_change(self._on_slice)
        namespaces.on_change(self._on_namespace)

    async def run(self) -> None:
        """Fill the zone once all services, slices and namespaces are known, then set ``synced``."""
        started = time.monotonic()
        await self._services.synced.wait()
        await self._slices.synced.wait()
        await self._namespaces.synced.wait()
        self.synced.set()
        for namespace in self._namespaces.list():
            self._on_namespace(None, namespace)
        for service in self._services.list():
            self._sync(meta.key_of(service))
        log.info("%s: %d names after %.1f s", self._zone.domain, len(self._zone), time.monotonic() - started)

    def _sync(self, key: Key) -> None:
        """Update one service's records."""
        if not self.synced.is_set():
            return
        service = self._services.get(key)
        service_records: records.Records = {}
        if service is not None:
            groups = groups_of(self._slices.by_index(BY_SERVICE, key))
            try:
                service_records = records.of_service(service, groups, self._zone.domain)
            except ValueError as exc:  # not an address; the service's other records are in doubt as well
                log.warning("%s: left out: %s", key, exc)
        self._zone.replace(key, service_records)
        metrics.zone_names.set(len(self._zone))

    def _on_service(self, old: core_v1.Service | None, new: core_v1.Service | None) -> None:
        if latest := new or old:
            self._sync(meta.key_of(latest))

    def _on_namespace(self, old: core_v1.Namespace | None, new: core_v1.Namespace | None) -> None:
        latest = new or old
        if latest is None or not self.synced.is_set():
            return
        names = records.of_namespace(meta.name_of(latest), self._zone.domain) if new else {}
        self._zone.replace(meta.key_of(latest), names)
        metrics.zone_names.set(len(self._zone))

    def _on_slice(self, old: discovery_v1.EndpointSlice | None, new: discovery_v1.EndpointSlice | None) -> None:
        """A slice whose label changed belonged to another service before."""
        services = (service_of(version) for version in (old, new) if version)
        for key in dict.fromkeys(service for service in services if service):
            self._sync(key)
