"""For each service with a selector, an Endpoints object with the addresses of its pods.

Owns the Endpoints of such services: writes them, repairs them, deletes them with the service. Endpoints of services
without a selector, and those without a service, belong to whoever created them.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress

from apimachinery import codec, errors, meta
from apimachinery.core import well_known
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Endpoints, Service
from apimachinery.types.meta_v1 import ObjectMeta
from controller_manager.context import ControllerContext
from controller_manager.endpoints_plan import labels_for, subsets
from controller_manager.service_endpoints import LONGEST_BACKOFF, ServiceTriggers, event_on_refusal, has_endpoints
from kube_client import WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)


class EndpointsController:
    def __init__(self, context: ControllerContext) -> None:
        self._workers = context.options.concurrency.concurrent_endpoint_syncs
        self._endpoints_api = context.client.resource(Endpoints)
        self._recorder = context.recorder.of("endpoint-controller")
        self._endpoints = context.informer(Endpoints)
        self._queue = WorkQueue[Key]("endpoint", backoff=Backoff(limit=LONGEST_BACKOFF))
        self._triggers = ServiceTriggers(context, self._queue)
        self._endpoints.feed(self._queue, self._if_of_service)  # another writer's changes are undone

    async def run(self) -> None:
        for endpoints in self._endpoints.list():  # their service may have been deleted while no controller ran
            self._queue.add(meta.key_of(endpoints))
        await process(self._queue, self.sync, workers=self._workers)

    async def sync(self, key: Key) -> None:
        """Bring one service's Endpoints up to date."""
        service = self._triggers.services.get(key)
        with self._triggers.change_time(key) as changed_at:
            if service is None:
                await self._delete(key)
            elif has_endpoints(service):
                await self._write(service, changed_at)

    def _if_of_service(self, endpoints: Endpoints) -> Iterator[Key]:
        """Those of a service that does not exist (yet) belong to whoever created them."""
        key = meta.key_of(endpoints)
        if self._triggers.services.get(key) is not None:
            yield key

    async def _delete(self, key: Key) -> None:
        endpoints = self._endpoints.get(key)
        # Endpoints with the annotation are an old client's lock; they never had a service.
        if endpoints is None or well_known.LEADER_ANNOTATION in meta.annotations_of(endpoints):
            return
        with suppress(errors.NotFound):
            await self._endpoints_api.delete(key.name, namespace=key.namespace, uid=meta.uid_of(endpoints))
            log.info("%s: deleted endpoints, the service is gone", key)

    async def _write(self, service: Service, changed_at: str | None) -> None:
        key = meta.key_of(service)
        new_subsets, labels = subsets(service, self._triggers.pods_of(service)) or None, labels_for(service)
        old = self._endpoints.get(key)
        if old is not None and (old.subsets or None) == new_subsets and (old.metadata.labels or None) == labels:
            return
        metadata = ObjectMeta(name=key.name, namespace=key.namespace)
        new = codec.copy(old) if old is not None else Endpoints(metadata=metadata)
        new.subsets, new.metadata.labels = new_subsets, labels
        annotations = {**(new.metadata.annotations or {})}
        annotations.pop(well_known.LAST_CHANGE_TRIGGER_TIME_ANNOTATION, None)
        if changed_at is not None:
            annotations[well_known.LAST_CHANGE_TRIGGER_TIME_ANNOTATION] = changed_at
        new.metadata.annotations = annotations or None
        reason, verb = ("FailedToCreateEndpoint", "create") if old is None else ("FailedToUpdateEndpoint", "update")
        with event_on_refusal(self._recorder, service, reason, f"Failed to {verb} endpoint {key}"):
            await (self._endpoints_api.create(new) if old is None else self._endpoints_api.update(new))
