"""For each service with a selector, an Endpoints object with the addresses of its pods.

Owns the Endpoints of such services: writes them, mends them, deletes them with the service. Endpoints of services
without a selector, and those without a service, belong to whoever made them.
"""

import logging
from contextlib import suppress
from functools import partial
from typing import Final

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Endpoints, Pod, Service
from apimachinery.types.meta_v1 import ObjectMeta
from controller_manager.endpoints_plan import affected_services, labels, subsets
from controller_manager.informers import BY_NAMESPACE, Informers
from kube_client import Client, EventRecorder, WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

LAST_CHANGE: Final = "endpoints.kubernetes.io/last-change-trigger-time"
_LEADER_ELECTION: Final = "control-plane.alpha.kubernetes.io/leader"
"""On Endpoints that old clients use as a lock; no service stands behind those."""
LONGEST_BACKOFF: Final = 5.0
"""Seconds. A service that leads to a dead pod is worth a write every few seconds."""


class EndpointsController:
    def __init__(self, client: Client, informers: Informers, recorder: EventRecorder) -> None:
        self._client = client.resource(Endpoints)
        self._services, self._pods, self._endpoints = informers.services, informers.pods, informers.endpoints
        self._recorder = recorder
        self._queue = WorkQueue[Key]("endpoint", backoff=Backoff(limit=LONGEST_BACKOFF))
        self._triggered: dict[Key, str] = {}  # when the first change came that the Endpoints do not show yet
        self._services.on_change(self._on_service)
        self._pods.on_change(self._on_pod)
        self._endpoints.on_change(self._on_endpoints)

    async def run(self, workers: int) -> None:
        # A service may have been deleted while no controller ran.
        for leftover in self._endpoints.list():
            self._queue.add(meta.key_of(leftover))
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, key: Key) -> None:
        """Bring one service's Endpoints up to date."""
        triggered = self._triggered.pop(key, None)
        try:
            service = self._services.get(key)
            if service is None:
                await self._delete(key)
            elif service.spec.selector and service.spec.type != "ExternalName":
                await self._write(service, triggered)
        except errors.ApiError:
            if triggered is not None:
                self._triggered.setdefault(key, triggered)
            raise

    async def _delete(self, key: Key) -> None:
        found = self._endpoints.get(key)
        if found is None or _LEADER_ELECTION in meta.annotations_of(found):
            return
        with suppress(errors.NotFound):
            await self._client.delete(key.name, namespace=key.namespace, uid=meta.uid_of(found))
            log.info("%s: deleted endpoints, the service is gone", key)

    async def _write(self, service: Service, triggered: str | None) -> None:
        key = meta.key_of(service)
        selector = (service.spec.selector or {}).items()
        pods = [
            pod for pod in self._pods.by_index(BY_NAMESPACE, key.namespace) if selector <= meta.labels_of(pod).items()
        ]
        wanted, wanted_labels = subsets(service, pods) or None, labels(service)
        old = self._endpoints.get(key)
        if old is not None and (old.subsets or None) == wanted and (old.metadata.labels or None) == wanted_labels:
            return
        metadata = ObjectMeta(name=key.name, namespace=key.namespace)
        new = codec.copy(old) if old is not None else Endpoints(metadata=metadata)
        new.subsets, new.metadata.labels = wanted, wanted_labels
        annotations = {**(new.metadata.annotations or {})}
        annotations.pop(LAST_CHANGE, None)
        if triggered is not None:
            annotations[LAST_CHANGE] = triggered
        new.metadata.annotations = annotations or None
        await self._put(service, new, is_new=old is None)

    async def _put(self, service: Service, endpoints: Endpoints, *, is_new: bool) -> None:
        try:
            await (self._client.create(endpoints) if is_new else self._client.update(endpoints))
        except (errors.Conflict, errors.NotFound, errors.AlreadyExists):
            raise  # the cache is behind; the next try sees it
        except errors.ApiError as exc:
            reason, verb = ("FailedToCreateEndpoint", "create") if is_new else ("FailedToUpdateEndpoint", "update")
            text = f"Failed to {verb} endpoint {meta.key_of(service)}: {exc}"
            if not isinstance(exc, errors.Forbidden):  # a namespace that is going refuses; that is no news
                self._recorder.event(service, "Warning", reason, text)
            raise

    def _trigger(self, key: Key) -> None:
        self._triggered.setdefault(key, meta.now_micro())
        self._queue.add(key)

    def _on_service(self, old: Service | None, new: Service | None) -> None:
        service = new or old
        if service is not None:
            self._trigger(meta.key_of(service))

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        for key in affected_services(old, new, partial(self._services.by_index, BY_NAMESPACE)):
            self._trigger(key)

    def _on_endpoints(self, old: Endpoints | None, new: Endpoints | None) -> None:
        """Mend what somebody else has changed."""
        endpoints = new or old
        if endpoints is not None and old is not None and self._services.get(meta.key_of(endpoints)) is not None:
            self._queue.add(meta.key_of(endpoints))
