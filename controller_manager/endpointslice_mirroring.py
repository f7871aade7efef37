"""Endpoints that people or programs write by hand, mirrored into EndpointSlices.

Of services without a selector only: the others have slices from their pods. Owns the slices that its label names it
the manager of.
"""

from typing import Final

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Endpoints, Service
from apimachinery.types.discovery_v1 import EndpointSlice
from controller_manager.endpointslice_plan import MANAGED_BY, Owner, of_endpoints, plan
from controller_manager.endpointslice_writer import SliceWriter, service_key
from controller_manager.informers import BY_SERVICE, Informers
from kube_client import Client, EventRecorder, WorkQueue, process

MANAGER: Final = "endpointslicemirroring-controller.k8s.io"
SKIP_MIRROR: Final = "endpointslice.kubernetes.io/skip-mirror"
_LEADER_ELECTION: Final = "control-plane.alpha.kubernetes.io/leader"
"""On Endpoints that old clients use as a lock; no service stands behind those."""


class EndpointSliceMirroringController:
    def __init__(self, client: Client, informers: Informers, recorder: EventRecorder) -> None:
        self._services, self._endpoints = informers.services, informers.endpoints
        self._slices = informers.endpoint_slices
        self._writer = SliceWriter(client, recorder)
        self._queue = WorkQueue[Key]("endpointslice_mirroring")
        self._services.on_change(self._on_change)
        self._endpoints.on_change(self._on_change)
        self._slices.on_change(self._on_slice)

    async def run(self, workers: int) -> None:
        for leftover in self._slices.list():
            self._on_slice(None, leftover)
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, key: Key) -> None:
        """Bring the mirror of one Endpoints object up to date."""
        endpoints, service = self._endpoints.get(key), self._services.get(key)
        existing = [one for one in self._slices.by_index(BY_SERVICE, key) if is_ours(one)]
        if endpoints is None or service is None or service.spec.selector or not is_mirrored(endpoints):
            await self._writer.delete(existing)
            return
        owner = Owner(
            namespace=key.namespace,
            name=key.name,
            manager=MANAGER,
            labels=meta.labels_of(endpoints),
            reference=meta.owner_reference(endpoints),
            annotations={},
        )
        await self._writer.carry_out(endpoints, plan(owner, of_endpoints(endpoints), existing))

    def _on_change(self, old: Endpoints | Service | None, new: Endpoints | Service | None) -> None:
        if changed := new or old:
            self._queue.add(meta.key_of(changed))

    def _on_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """Mend what somebody else has changed."""
        for one in (old, new):
            if one is not None and is_ours(one) and (key := service_key(one)):
                self._queue.add(key)


def is_ours(one: EndpointSlice) -> bool:
    return meta.labels_of(one).get(MANAGED_BY) == MANAGER


def is_mirrored(endpoints: Endpoints) -> bool:
    return (
        meta.labels_of(endpoints).get(SKIP_MIRROR) != "true"
        and _LEADER_ELECTION not in meta.annotations_of(endpoints)
    )
