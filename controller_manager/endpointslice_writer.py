"""Writes slices, as the controllers that plan them agree: and says on the service when the API refuses."""

import logging
from collections.abc import Iterable
from contextlib import suppress

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Endpoints, Service
from apimachinery.types.discovery_v1 import EndpointSlice
from controller_manager.endpointslice_plan import SERVICE_NAME, Plan
from kube_client import Client, EventRecorder

log = logging.getLogger(__name__)


class SliceWriter:
    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._client = client.resource(EndpointSlice)
        self._recorder = recorder

    async def carry_out(self, subject: Service | Endpoints, plan: Plan) -> None:
        """Additions come first: an endpoint that moves to another slice is in two for a moment, never in none.

        Raises:
            ApiError: something was not written; planning again from what is there then is safe.
        """
        try:
            for one in plan.create:
                await self._client.create(one)
            for one in plan.update:
                await self._client.update(one)
        except (errors.Conflict, errors.NotFound, errors.AlreadyExists):
            raise  # the cache is behind; the next try sees it
        except errors.ApiError as exc:
            if not isinstance(exc, errors.Forbidden):  # a namespace that is going refuses; that is no news
                message = f"Error updating Endpoint Slices for {meta.key_of(subject)}: {exc}"
                self._recorder.event(subject, "Warning", "FailedToUpdateEndpointSlices", message)
            raise
        await self.delete(plan.delete)

    async def delete(self, slices: Iterable[EndpointSlice]) -> None:
        for one in slices:
            key = meta.key_of(one)
            with suppress(errors.NotFound):
                await self._client.delete(key.name, namespace=key.namespace, uid=meta.uid_of(one))
                log.info("%s: deleted endpoint slice", key)


def service_key(one: EndpointSlice) -> Key | None:
    """The service to which a slice belongs; None if it does not say."""
    name = meta.labels_of(one).get(SERVICE_NAME)
    return Key(meta.namespace_of(one), name) if name else None
