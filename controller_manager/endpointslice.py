"""For each service with a selector, EndpointSlices with its pods: ready ones, unready ones, and terminating ones.

Owns the slices whose label names it as their manager: writes them, repairs them, deletes those that no service needs.
Slices with another manager are not touched.
"""

from typing import Final

from apimachinery import meta
from apimachinery.core import well_known
from apimachinery.meta import Key
from controller_manager.context import ControllerContext
from controller_manager.endpoints_plan import labels_for
from controller_manager.endpointslice_plan import EndpointGroups, SliceOwner, of_pods, plan
from controller_manager.endpointslice_writer import ManagedSlices, SliceWriter
from controller_manager.service_endpoints import LONGEST_BACKOFF, ServiceTriggers, has_endpoints
from kube_client import WorkQueue, process
from kube_client.workqueue import Backoff

MANAGER: Final = "endpointslice-controller.k8s.io"


class EndpointSliceController:
    def __init__(self, context: ControllerContext) -> None:
        self._workers = context.options.concurrency.concurrent_endpoint_syncs
        self._writer = SliceWriter(context.client, context.recorder.of("endpoint-slice-controller"))
        self._queue = WorkQueue[Key]("endpointslice", backoff=Backoff(limit=LONGEST_BACKOFF))
        self._triggers = ServiceTriggers(context, self._queue)
        self._slices = ManagedSlices(context, MANAGER, self._queue)

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=self._workers)

    async def sync(self, key: Key) -> None:
        """Bring one service's slices up to date."""
        service = self._triggers.services.get(key)
        existing = self._slices.of_service(key)
        with self._triggers.change_time(key) as changed_at:
            if service is None:
                await self._writer.delete(existing)
                return
            groups: EndpointGroups = {}
            if has_endpoints(service):
                groups = of_pods(service, self._triggers.pods_of(service))
            owner = SliceOwner(
                namespace=key.namespace,
                name=key.name,
                manager=MANAGER,
                labels=labels_for(service) or {},
                reference=meta.owner_reference(service),
                annotations={well_known.LAST_CHANGE_TRIGGER_TIME_ANNOTATION: changed_at} if changed_at else {},
            )
            await self._writer.carry_out(service, plan(owner, groups, existing))
