"""What a cluster has before anybody made anything: four namespaces, and the service ``kubernetes``.

The service's endpoints are the apiservers that run. Each keeps a lease of its own in etcd's sense of the word,
a Lease object that it renews; the addresses in the endpoints are those of the leases that are fresh.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final, TypeVar

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types import core_v1 as v1
from apimachinery.types.coordination_v1 import Lease, LeaseSpec
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.objects import KubeObject
from apiserver.handlers.table import ResourceTable
from apiserver.registry.store import Store
from apiserver.request import Attributes, User

log = logging.getLogger(__name__)
T = TypeVar("T", bound=KubeObject)

NAMESPACES: Final = ("kube-system", "default", "kube-public", "kube-node-lease")
SYSTEM: Final = "kube-system"
LEASE_SECONDS: Final = 60
_EVERY: Final = 10.0  # s
_IDENTITY: Final = re.compile(r"apiserver-(?P<address>\d{1,3}(-\d{1,3}){3})-(?P<port>[1-9]\d{0,4})\Z", re.ASCII)
_IDENTITY_LABEL: Final = {"apiserver.kubernetes.io/identity": "kube-apiserver"}
_SELF: Final = User("system:apiserver", groups=("system:masters",))


class Bootstrap:
    """Keeps these objects there, whoever deletes them."""

    def __init__(self, table: ResourceTable, services: IPv4Network, address: str, port: int) -> None:
        self._table, self._services = table, services
        self._address, self._port = address, port
        self._identity = f"apiserver-{address.replace('.', '-')}-{port}"

    async def run(self) -> None:
        """Look every few seconds, for ever."""
        while True:
            try:
                await self._sync()
            except errors.ApiError as fault:
                log.info("bootstrap: %s; will retry", fault)
                await asyncio.sleep(0.5)
                continue
            await asyncio.sleep(_EVERY)

    async def leave(self) -> None:
        """Take this apiserver out of the endpoints: it is about to stop."""
        store = self._store("coordination.k8s.io", "leases")
        stored = store.cache.get(store.info.storage_key(Key(SYSTEM, self._identity)))
        if stored is not None:
            await store.remove(stored)
        await self._endpoints()

    async def _sync(self) -> None:
        for name in NAMESPACES:
            await self._ensure("", "namespaces", v1.Namespace(metadata=ObjectMeta(name=name)))
        await self._renew()
        await self._service()
        await self._endpoints()

    def _store(self, group: str, plural: str) -> Store[Any]:
        store = self._table.find(group, "v1", plural)
        assert store is not None
        return store

    async def _ensure(self, group: str, plural: str, obj: KubeObject) -> None:
        """Make the object if it is not there."""
        store = self._store(group, plural)
        await store.cache.wait_until()
        if store.cache.get(store.info.storage_key(meta.key_of(obj))) is None:
            try:
                await store.create(_attributes("create", group, plural, meta.key_of(obj)), obj)
            except errors.AlreadyExists:
                return

    async def _put(self, group: str, plural: str, obj: T) -> None:
        """Make the object, or make it what it should be."""
        key = meta.key_of(obj)
        await self._store(group, plural).update(
            _attributes("update", group, plural, key),
            key,
            lambda current: _carrying(current, obj),
            may_create=True,
        )

    async def _renew(self) -> None:
        spec = LeaseSpec(
            holder_identity=self._identity, lease_duration_seconds=LEASE_SECONDS, renew_time=meta.now_micro()
        )
        metadata = ObjectMeta(name=self._identity, namespace=SYSTEM, labels=dict(_IDENTITY_LABEL))
        await self._put("coordination.k8s.io", "leases", Lease(metadata=metadata, spec=spec))

    async def _service(self) -> None:
        spec = v1.ServiceSpec(
            cluster_ip=str(self._services[1]),
            ports=[v1.ServicePort(name="https", port=443, protocol="TCP", target_port=self._port)],
        )
        labels = {"component": "apiserver", "provider": "kubernetes"}
        metadata = ObjectMeta(name="kubernetes", namespace="default", labels=labels)
        await self._ensure("", "services", v1.Service(metadata=metadata, spec=spec))

    async def _endpoints(self) -> None:
        await self._store("coordination.k8s.io", "leases").cache.wait_current()
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
        await self._put("", "endpoints", v1.Endpoints(metadata=metadata, subsets=subsets or None))

    def _living(self) -> Sequence[tuple[str, int]]:
        """Address and port of each apiserver whose lease is fresh."""
        store, found = self._store("coordination.k8s.io", "leases"), []
        for stored in store.cache.items(store.info.storage_prefix(SYSTEM))[0]:
            lease: Lease = stored.object
            place = _IDENTITY.match(meta.name_of(lease))
            if place and meta.labels_of(lease).items() >= _IDENTITY_LABEL.items() and _is_fresh(lease):
                found.append((place["address"].replace("-", "."), int(place["port"])))
        return found


def _is_fresh(lease: Lease) -> bool:
    """Anybody may write leases, so nothing is taken for granted."""
    try:
        age = (datetime.now(UTC) - meta.parse_time(lease.spec.renew_time or "")).total_seconds()
    except ValueError:
        return False
    return age < LEASE_SECONDS


def _carrying(current: T | None, obj: T) -> T:
    """A private copy of ``obj`` under the identity of what is there."""
    wanted = codec.copy(obj)
    if current is not None:
        wanted.metadata = codec.copy(current.metadata)
        wanted.metadata.labels = obj.metadata.labels or current.metadata.labels
    return wanted


def _attributes(verb: str, group: str, plural: str, key: Key) -> Attributes:
    return Attributes(
        user=_SELF,
        verb=verb,
        path="",
        group=group,
        version="v1",
        resource=plural,
        namespace=key.namespace,
        name=key.name,
        field_manager="kube-apiserver",
    )
