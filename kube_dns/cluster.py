"""Keeps the zone equal to the cluster's services.

Reads informers' copies only. Each change names a service whose records are made again from the whole picture, at
once: an answer is never older than the watch. Until the first lists are in, ``synced`` is not set, and nobody may
conclude from the zone that a name does not exist.
"""

import asyncio
import logging
import time

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types import core_v1
from kube_client import Informer
from kube_dns import metrics, records
from kube_dns.sources import EndpointSource
from kube_dns.zone import Zone

log = logging.getLogger(__name__)


class Cluster:
    def __init__(self, zone: Zone, services: Informer[core_v1.Service], endpoints: EndpointSource) -> None:
        self.synced = asyncio.Event()
        self._zone, self._services, self._endpoints = zone, services, endpoints
        services.on_change(self._on_service)
        endpoints.on_change(self.sync)

    async def run(self) -> None:
        """Set ``synced`` once the zone is whole."""
        started = time.monotonic()
        await self._services.synced.wait()
        await self._endpoints.wait_for_sync()
        self.synced.set()
        log.info("%s: %d names after %.1f s", self._zone.domain, len(self._zone), time.monotonic() - started)

    def sync(self, key: Key) -> None:
        """Make one service's records what they ought to be."""
        service = self._services.get(key)
        wanted: records.Records = {}
        if service is not None:
            try:
                wanted = records.of_service(service, self._endpoints.groups(key), self._zone.domain)
            except ValueError as exc:  # an address that is none; the service's other records are in doubt as well
                log.warning("%s: left out: %s", key, exc)
        self._zone.replace(key, wanted)
        metrics.zone_names.set(len(self._zone))

    def _on_service(self, old: core_v1.Service | None, new: core_v1.Service | None) -> None:
        one = new or old
        if one is not None:
            self.sync(meta.key_of(one))
