"""The service ``kubernetes``, and the apiservers that run as its endpoints.

Each apiserver keeps a lease, a Lease object that it renews; the addresses in the endpoints are those of the leases
that are fresh.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from apimachinery import meta
from apimachinery.core.well_known import APISERVER_IDENTITY_LABEL
from apimachinery.meta import Key
from apimachinery.types import core_v1 as v1
from apimachinery.types.coordination_v1 import Lease, LeaseSpec
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.bootstrap.objects import Objects

SYSTEM: Final = "kube-system"
LEASE_SECONDS: Final = 60
_IDENTITY: Final = re.compile(r"apiserver-(?P<address>\d{1,3}(-\d{1,3}){3})-(?P<port>[1-9]\d{0,4})\Z", re.ASCII)
_IDENTITY_LABEL: Final = {APISERVER_IDENTITY_LABEL: "kube-apiserver"}


class ServerEndpoints:
    """This apiserver's place among the others."""

    def __init__(self, objects: Objects, services: IPv4Network, address: str, port: int) -> None:
        self._objects, self._services, self._port = objects, services, port
        self._identity = f"apiserver-{address.replace('.', '-')}-{port}"

    async def sync(self) -> None:
        await self._renew()
        await self._service()
        await self._endpoints()

    async def leave(self) -> None:
        """Take this apiserver out of the endpoints: it is about to stop."""
        leases = self._objects.resources.store(Lease)
        stored = leases.cache.get(leases.info.storage_key(Key(SYSTEM, self._identity)))
        if stored is not None:
            await leases.remove(stored)
        await self._endpoints()

    async def _renew(self) -> None:
        spec = LeaseSpec(
            holder_identity=self._identity, lease_duration_seconds=LEASE_SECONDS, renew_time=meta.now_micro()
        )
        metadata = ObjectMeta(name=self._identity, namespace=SYSTEM, labels=dict(_IDENTITY_LABEL))
        await self._objects.put(Lease(metadata=metadata, spec=spec))

    async def _service(self) -> None:
        spec = v1.ServiceSpec(
            cluster_ip=str(self._services[1]),
            ports=[v1.ServicePort(name="https", port=443, protocol="TCP", target_port=self._port)],
        )
        labels = {"component": "apiserver", "provider": "kubernetes"}
        metadata = ObjectMeta(name="kubernetes", namespace="default", labels=labels)
        await self._objects.ensure(v1.Service(metadata=metadata, spec=spec))

    async def _endpoints(self) -> None:
        await self._objects.resources.store(Lease).cache.wait_current()
        # pods could not reach a server that listens on loopback only, and endpoints may not name it
        places = sorted({(ip, port) for ip, port in self._living() if not IPv4Address(ip).is_loopback})
        subsets = [
            v1.EndpointSubset(
                addresses=[v1.EndpointAddress(ip=ip) for ip, at in places if at == port],
                ports=[v1.EndpointPort(name="https", port=port, protocol="TCP")],
            )
            for port in sorted({port for _, port in places})
        ]
        metadata = ObjectMeta(name="kubernetes", namespace="default")
        await self._objects.put(v1.Endpoints(metadata=metadata, subsets=subsets or None))

    def _living(self) -> Sequence[tuple[str, int]]:
        """Address and port of each apiserver whose lease is fresh."""
        endpoints = []
        for lease in self._objects.resources.store(Lease).all_cached(SYSTEM):
            identity = _IDENTITY.match(meta.name_of(lease))
            if identity and meta.labels_of(lease).items() >= _IDENTITY_LABEL.items() and _is_fresh(lease):
                endpoints.append((identity["address"].replace("-", "."), int(identity["port"])))
        return endpoints


def _is_fresh(lease: Lease) -> bool:
    """Anybody may write leases, so nothing is taken for granted."""
    try:
        age = (datetime.now(UTC) - meta.parse_time(lease.spec.renew_time or "")).total_seconds()
    except ValueError:
        return False
    return age < LEASE_SECONDS
