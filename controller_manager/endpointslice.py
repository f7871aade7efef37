"""For each service with a selector, EndpointSlices with its pods: ready ones, unready ones, and those on their way out.

Owns the slices that its label names it the manager of: writes them, mends them, deletes those that no service needs.
Slices of others belong to others.
"""

import logging
from functools import partial
from typing import Final

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Pod, Service
from apimachinery.types.discovery_v1 import EndpointSlice
from controller_manager.endpoints_plan import affected_services, labels
from controller_manager.endpointslice_plan import LAST_CHANGE, MANAGED_BY, Owner, Wanted, of_pods, plan
from controller_manager.endpointslice_writer import SliceWriter, service_key
from controller_manager.informers import BY_NAMESPACE, BY_SERVICE, Informers
from kube_client import Client, EventRecorder, WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

MANAGER: Final = "endpointslice-controller.k8s.io"
LONGEST_BACKOFF: Final = 5.0
"""Seconds. A service that leads to a dead pod is worth a write every few seconds."""


class EndpointSliceController:
    def __init__(self, client: Client, informers: Informers, recorder: EventRecorder) -> None:
        self._services, self._pods, self._slices = informers.services, informers.pods, informers.endpoint_slices
        self._writer = SliceWriter(client, recorder)
        self._queue = WorkQueue[Key]("endpointslice", backoff=Backoff(limit=LONGEST_BACKOFF))
        self._triggered: dict[Key, str] = {}  # when the first change came that the slices do not show yet
        self._services.on_change(self._on_service)
        self._pods.on_change(self._on_pod)
        self._slices.on_change(self._on_slice)

    async def run(self, workers: int) -> None:
        for leftover in self._slices.list():  # a service may have been deleted while no controller ran
            if is_ours(leftover) and (key := service_key(leftover)):
                self._queue.add(key)
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, key: Key) -> None:
        """Bring one service's slices up to date."""
        triggered = self._triggered.pop(key, None)
        service = self._services.get(key)
        existing = [one for one in self._slices.by_index(BY_SERVICE, key) if is_ours(one)]
        if service is None:
            await self._writer.delete(existing)
            return
        wanted: Wanted = {}
        if service.spec.selector and service.spec.type != "ExternalName":
            wanted = of_pods(service, self._pods_of(service))
        owner = Owner(
            namespace=key.namespace,
            name=key.name,
            manager=MANAGER,
            labels=labels(service) or {},
            reference=meta.owner_reference(service),
            annotations={LAST_CHANGE: triggered} if triggered else {},
        )
        try:
            await self._writer.carry_out(service, plan(owner, wanted, existing))
        except Exception:
            if triggered is not None:
                self._triggered.setdefault(key, triggered)
            raise

    def _pods_of(self, service: Service) -> list[Pod]:
        selector = (service.spec.selector or {}).items()
        pods = self._pods.by_index(BY_NAMESPACE, meta.namespace_of(service))
        return [pod for pod in pods if selector <= meta.labels_of(pod).items()]

    def _trigger(self, key: Key) -> None:
        self._triggered.setdefault(key, meta.now_micro())
        self._queue.add(key)

    def _on_service(self, old: Service | None, new: Service | None) -> None:
        if service := new or old:
            self._trigger(meta.key_of(service))

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        for key in affected_services(old, new, partial(self._services.by_index, BY_NAMESPACE)):
            self._trigger(key)

    def _on_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """Mend what somebody else has changed."""
        for one in (old, new):
            if one is not None and is_ours(one) and (key := service_key(one)):
                self._queue.add(key)


def is_ours(one: EndpointSlice) -> bool:
    return meta.labels_of(one).get(MANAGED_BY) == MANAGER
