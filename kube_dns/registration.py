"""The add-on's fixed address in the cluster: Service and Endpoints ``kube-system/kube-dns``.

For a server that runs as a process and not as pods: a service without a selector, and endpoints that name the one
address and port where it listens. Restores both whatever happens to them; a service of that name
with a selector belongs to a DNS that runs as pods, and is left alone, endpoints included. One server registers
itself, not several: each would remove the other's address.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from apimachinery import codec, meta
from apimachinery.core import well_known
from apimachinery.meta import Key
from apimachinery.types import core_v1, meta_v1
from kube_client import Client, Informer, WorkQueue, process
from kube_client.workqueue import Backoff
from kube_dns.upstreams import PORT

log = logging.getLogger(__name__)

KEY = Key("kube-system", "kube-dns")
LABELS = {"k8s-app": "kube-dns", well_known.CLUSTER_SERVICE_LABEL: "true", well_known.ADDON_NAME_LABEL: "KubeDNS"}
_PORTS = (("dns", "UDP"), ("dns-tcp", "TCP"))

_LONGEST_DELAY = 5.0
"""Seconds between tries: the cluster's names depend on it, and little else does."""


@dataclass(frozen=True)
class Place:
    """``service_ip`` is the cluster IP, ``address`` and ``port`` where the server listens."""

    service_ip: str
    address: str
    port: int


def desired_service(place: Place) -> core_v1.Service:
    ports = [
        core_v1.ServicePort(name=name, protocol=protocol, port=PORT, target_port=place.port)
        for name, protocol in _PORTS
    ]
    spec = core_v1.ServiceSpec(cluster_ip=place.service_ip, ports=ports, type="ClusterIP")
    return core_v1.Service(metadata=_metadata(), spec=spec)


def desired_endpoints(place: Place) -> core_v1.Endpoints:
    ports = [core_v1.EndpointPort(name=name, protocol=protocol, port=place.port) for name, protocol in _PORTS]
    subset = core_v1.EndpointSubset(addresses=[core_v1.EndpointAddress(ip=place.address)], ports=ports)
    return core_v1.Endpoints(metadata=_metadata(), subsets=[subset])


def service_matches(service: core_v1.Service, desired: core_v1.Service) -> bool:
    return service.spec.cluster_ip == desired.spec.cluster_ip and _ports(service) == _ports(desired)


def endpoints_match(endpoints: core_v1.Endpoints, desired: core_v1.Endpoints) -> bool:
    return _places(endpoints) == _places(desired)


class Registration:
    """Run it beside the informer of services, which it shares; it has its own informer of the Endpoints."""

    def __init__(self, client: Client, services: Informer[core_v1.Service], place: Place) -> None:
        self._client, self._services = client, services
        self._endpoints = Informer(
            client.resource(core_v1.Endpoints),
            namespace=KEY.namespace,
            field_selector=f"metadata.name={KEY.name}",
        )
        self._service, self._desired_endpoints = desired_service(place), desired_endpoints(place)
        self._queue = WorkQueue[Key]("kube_dns_registration", backoff=Backoff(base=0.05, limit=_LONGEST_DELAY))
        services.on_change(self._on_change)
        self._endpoints.on_change(self._on_change)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._endpoints.run(), name="registered endpoints")
            await self._services.synced.wait()
            await self._endpoints.synced.wait()
            self._queue.add(KEY)
            await process(self._queue, self.sync)

    async def sync(self, key: Key) -> None:
        """Create or repair both objects. Safe to call at any time."""
        service = self._services.get(key)
        if service is not None and service.spec.selector:
            log.warning("%s: has a selector, so pods answer there; left alone", key)
            return
        await self._sync_service(key, service)
        await self._sync_endpoints(key)

    async def _sync_service(self, key: Key, service: core_v1.Service | None) -> None:
        services = self._client.resource(core_v1.Service)
        if service is not None and service.spec.cluster_ip != self._service.spec.cluster_ip:
            log.info("%s: has %s; created again, since that cannot change", key, service.spec.cluster_ip)
            await services.delete(key.name, namespace=key.namespace, uid=meta.uid_of(service))
            service = None
        if service is None:
            await services.create(codec.copy(self._service))
            log.info("%s: created with %s", key, self._service.spec.cluster_ip)
        elif not service_matches(service, self._service):
            changed = codec.copy(service)
            changed.spec.ports = codec.copy(self._service).spec.ports
            await services.update(changed)
            log.info("%s: ports repaired", key)

    async def _sync_endpoints(self, key: Key) -> None:
        endpoints, desired = self._client.resource(core_v1.Endpoints), self._desired_endpoints
        present = self._endpoints.get(key)
        if present is None:
            await endpoints.create(codec.copy(desired))
            log.info("%s: endpoints created: %s", key, _places(desired))
        elif not endpoints_match(present, desired):
            changed = codec.copy(present)
            changed.subsets = codec.copy(desired).subsets
            await endpoints.update(changed)
            log.info("%s: endpoints repaired: %s", key, _places(desired))

    def _on_change(
        self, old: core_v1.Service | core_v1.Endpoints | None, new: core_v1.Service | core_v1.Endpoints | None
    ) -> None:
        latest = new or old
        if latest is not None and meta.key_of(latest) == KEY:
            self._queue.add(KEY)


def _metadata() -> meta_v1.ObjectMeta:
    return meta_v1.ObjectMeta(name=KEY.name, namespace=KEY.namespace, labels=dict(LABELS))


def _ports(service: core_v1.Service) -> Sequence[object]:
    ports = service.spec.ports or ()
    return sorted((port.name or "", port.protocol, port.port, str(port.target_port)) for port in ports)


def _places(endpoints: core_v1.Endpoints) -> Sequence[tuple[str, str, int]]:
    return sorted(
        (address.ip, port.name or "", port.port)
        for subset in endpoints.subsets or ()
        for address in subset.addresses or ()
        for port in subset.ports or ()
    )
