"""Keeps claims that pods use, and volumes that are bound, from being removed before that ends, by finalizers."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from apimachinery import codec, errors, meta
from apimachinery.core import well_known
from apimachinery.core.pods import claims_of
from apimachinery.meta import Key
from apimachinery.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from apimachinery.types.objects import KubeObject
from controller_manager import indexes
from controller_manager.context import ControllerContext
from controller_manager.indexes import BY_CLAIM
from kube_client import Resource, WorkQueue, process

log = logging.getLogger(__name__)

_WORKERS: Final = 2


class PVCProtectionController:
    def __init__(self, context: ControllerContext) -> None:
        self._claims_api = context.client.resource(PersistentVolumeClaim)
        self._pods_api = context.client.resource(Pod)
        self._claims = context.informer(PersistentVolumeClaim)
        self._pods = context.informer(Pod, indexes={BY_CLAIM: indexes.claims_of})
        self._queue = WorkQueue[Key]("pvcprotection")
        self._claims.feed(self._queue)
        self._pods.on_change(self._on_pod)

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=_WORKERS)

    async def sync(self, key: Key) -> None:
        claim = self._claims.get(key)
        if claim is None:
            return
        if not meta.is_being_deleted(claim):
            await protect(self._claims_api, claim, well_known.PVC_PROTECTION_FINALIZER)
        elif well_known.PVC_PROTECTION_FINALIZER in (claim.metadata.finalizers or ()) and not await self._is_used(key):
            await release(self._claims_api, claim, well_known.PVC_PROTECTION_FINALIZER)

    async def _is_used(self, key: Key) -> bool:
        """Whether a pod on a node mounts it. The server is asked before the answer is no."""
        if any(uses(pod, key) for pod in self._pods.by_index(BY_CLAIM, key)):
            return True
        return any(uses(pod, key) for pod in (await self._pods_api.list(namespace=key.namespace)).items)

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if new is None and old is not None:
            for key in claims_of(old):
                self._queue.add(key)


class PVProtectionController:
    def __init__(self, context: ControllerContext) -> None:
        self._volumes_api = context.client.resource(PersistentVolume)
        self._volumes = context.informer(PersistentVolume)
        self._queue = WorkQueue[Key]("pvprotection")
        self._volumes.feed(self._queue)

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=_WORKERS)

    async def sync(self, key: Key) -> None:
        volume = self._volumes.get(key)
        if volume is None:
            return
        if not meta.is_being_deleted(volume):
            await protect(self._volumes_api, volume, well_known.PV_PROTECTION_FINALIZER)
        elif (
            well_known.PV_PROTECTION_FINALIZER in (volume.metadata.finalizers or ()) and volume.status.phase != "Bound"
        ):
            await release(self._volumes_api, volume, well_known.PV_PROTECTION_FINALIZER)


def uses(pod: Pod, claim: Key) -> bool:
    """Whether a pod that has a node mounts the claim; one without cannot start with a claim that is being deleted."""
    return bool(pod.spec.node_name) and claim in claims_of(pod)


async def protect(resource: Resource[Any], obj: KubeObject, finalizer: str) -> None:
    """Add the finalizer to an object that was created without it."""
    finalizers = obj.metadata.finalizers or ()
    if finalizer not in finalizers:
        await _write(resource, obj, [*finalizers, finalizer])


async def release(resource: Resource[Any], obj: KubeObject, finalizer: str) -> None:
    await _write(resource, obj, [other for other in obj.metadata.finalizers or () if other != finalizer])
    log.info("%s: removed finalizer %s", meta.key_of(obj), finalizer)


async def _write(resource: Resource[Any], obj: KubeObject, finalizers: Sequence[str]) -> None:
    """Replace the whole list, in the version that was read. Raises Conflict if there is a newer one."""
    changed = codec.copy(obj)
    changed.metadata.finalizers = [*finalizers] or None
    with suppress(errors.NotFound):
        await resource.update(changed)
