"""The slices of one manager: which there are, and how a plan for them is carried out."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress

from apimachinery import errors, meta
from apimachinery.core import well_known
from apimachinery.core.services import service_of
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Endpoints, Service
from apimachinery.types.discovery_v1 import EndpointSlice
from controller_manager import indexes
from controller_manager.context import ControllerContext
from controller_manager.endpointslice_plan import Plan
from controller_manager.indexes import BY_SERVICE
from controller_manager.service_endpoints import event_on_refusal
from kube_client import Client, EventRecorder, WorkQueue

log = logging.getLogger(__name__)


class ManagedSlices:
    """The slices whose label names ``manager``; a change of one adds its service's key to the queue."""

    def __init__(self, context: ControllerContext, manager: str, queue: WorkQueue[Key]) -> None:
        self._manager = manager
        self._slices = context.informer(EndpointSlice, indexes={BY_SERVICE: indexes.service_of})
        self._slices.feed(queue, self._keys)

    def of_service(self, key: Key) -> list[EndpointSlice]:
        return [candidate for candidate in self._slices.by_index(BY_SERVICE, key) if self._is_managed(candidate)]

    def _keys(self, endpoint_slice: EndpointSlice) -> Iterator[Key]:
        if self._is_managed(endpoint_slice) and (service := service_of(endpoint_slice)):
            yield service

    def _is_managed(self, endpoint_slice: EndpointSlice) -> bool:
        return meta.labels_of(endpoint_slice).get(well_known.SLICE_MANAGED_BY_LABEL) == self._manager


class SliceWriter:
    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._slices_api, self._recorder = client.resource(EndpointSlice), recorder

    async def carry_out(self, subject: Service | Endpoints, plan: Plan) -> None:
        """Additions come first: an endpoint that moves to another slice is in two for a moment, never in none.

        Raises:
            ApiError: something was not written; planning again from the slices as they are then is safe.
        """
        message = f"Error updating Endpoint Slices for {meta.key_of(subject)}"
        with event_on_refusal(self._recorder, subject, "FailedToUpdateEndpointSlices", message):
            for endpoint_slice in plan.create:
                await self._slices_api.create(endpoint_slice)
            for endpoint_slice in plan.update:
                await self._slices_api.update(endpoint_slice)
        await self.delete(plan.delete)

    async def delete(self, slices: Iterable[EndpointSlice]) -> None:
        for endpoint_slice in slices:
            key = meta.key_of(endpoint_slice)
            with suppress(errors.NotFound):
                await self._slices_api.delete(key.name, namespace=key.namespace, uid=meta.uid_of(endpoint_slice))
                log.info("%s: deleted endpoint slice", key)
