"""Endpoints that people or programs write by hand, mirrored into EndpointSlices.

Of services without a selector only: the others have slices from their pods. Owns the slices whose label names it as
their manager.
"""

from typing import Final

from apimachinery import meta
from apimachinery.core import well_known
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Endpoints, Service
from controller_manager.context import ControllerContext
from controller_manager.endpointslice_plan import SliceOwner, of_endpoints, plan
from controller_manager.endpointslice_writer import ManagedSlices, SliceWriter
from kube_client import WorkQueue, process

MANAGER: Final = "endpointslicemirroring-controller.k8s.io"


class EndpointSliceMirroringController:
    def __init__(self, context: ControllerContext) -> None:
        self._workers = context.options.concurrency.concurrent_endpoint_syncs
        self._services, self._endpoints = context.informer(Service), context.informer(Endpoints)
        self._writer = SliceWriter(context.client, context.recorder.of("endpoint-slice-mirroring-controller"))
        self._queue = WorkQueue[Key]("endpointslice_mirroring")
        self._slices = ManagedSlices(context, MANAGER, self._queue)
        self._services.feed(self._queue)
        self._endpoints.feed(self._queue)

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=self._workers)

    async def sync(self, key: Key) -> None:
        """Bring the mirror of one Endpoints object up to date."""
        endpoints, service = self._endpoints.get(key), self._services.get(key)
        existing = self._slices.of_service(key)
        if endpoints is None or service is None or service.spec.selector or not is_mirrored(endpoints):
            await self._writer.delete(existing)
            return
        owner = SliceOwner(
            namespace=key.namespace,
            name=key.name,
            manager=MANAGER,
            labels=meta.labels_of(endpoints),
            reference=meta.owner_reference(endpoints),
            annotations={},
        )
        await self._writer.carry_out(endpoints, plan(owner, of_endpoints(endpoints), existing))


def is_mirrored(endpoints: Endpoints) -> bool:
    """Unless a label opts out, or they are an old client's lock."""
    return meta.labels_of(endpoints).get(
        well_known.SKIP_MIRROR_LABEL
    ) != "true" and well_known.LEADER_ANNOTATION not in meta.annotations_of(endpoints)
