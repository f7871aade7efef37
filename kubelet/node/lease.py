"""The node's heartbeat: a Lease in ``kube-node-lease``, renewed every 10 seconds.

The node is the owner of its Lease, so they are deleted together. The apiserver creates the namespace some time after its
start; until then renewing is retried.
"""

import asyncio
import logging
from collections.abc import Callable

from apimachinery import codec, errors, meta
from apimachinery.types import coordination_v1, core_v1, meta_v1
from kube_client import Client

log = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
DURATION = 40
"""Seconds without renewal after which a node counts as lost."""

RENEW = 10.0
_RETRY_FIRST, _RETRY_LONGEST = 0.2, 7.0


class NodeLease:
    def __init__(self, client: Client, node_name: str, node: Callable[[], core_v1.Node | None]) -> None:
        self._leases_api = client.resource(coordination_v1.Lease)
        self._name = node_name
        self._node = node
        self._lease: coordination_v1.Lease | None = None

    async def run(self) -> None:
        retry = _RETRY_FIRST
        while True:
            try:
                await self._renew()
                delay, retry = RENEW, _RETRY_FIRST
            except errors.ApiError as exc:
                log.info("lease %s: %s; will retry", self._name, exc)
                self._lease = None
                delay, retry = retry, min(_RETRY_LONGEST, retry * 2)
            await asyncio.sleep(delay)

    async def _renew(self) -> None:
        if self._lease is None:
            try:
                self._lease = await self._leases_api.get(self._name, namespace=NAMESPACE)
            except errors.NotFound:
                self._lease = await self._leases_api.create(self._renewed(coordination_v1.Lease()))
                return
        self._lease = await self._leases_api.update(self._renewed(self._lease))

    def _renewed(self, lease: coordination_v1.Lease) -> coordination_v1.Lease:
        renewed = codec.copy(lease)
        renewed.metadata.name, renewed.metadata.namespace = self._name, NAMESPACE
        node = self._node()
        if node is not None:
            owner = meta_v1.OwnerReference(api_version="v1", kind="Node", name=self._name, uid=meta.uid_of(node))
            renewed.metadata.owner_references = [owner]
        renewed.spec.holder_identity = self._name
        renewed.spec.lease_duration_seconds = DURATION
        renewed.spec.renew_time = meta.now_micro()
        return renewed
