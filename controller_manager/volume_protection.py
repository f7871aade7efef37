"""Claims that pods use, and volumes that are bound, do not go before that has ended: finalizers hold them."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from apimachinery.types.objects import KubeObject
from controller_manager.informers import BY_CLAIM, Informers, claims_of
from kube_client import Client, Resource, WorkQueue, process

log = logging.getLogger(__name__)

PVC_PROTECTION: Final = "kubernetes.io/pvc-protection"
PV_PROTECTION: Final = "kubernetes.io/pv-protection"


class PVCProtectionController:
    def __init__(self, client: Client, informers: Informers) -> None:
        self._client_claims, self._client_pods = client.resource(PersistentVolumeClaim), client.resource(Pod)
        self._claims, self._pods = informers.claims, informers.pods
        self._queue = WorkQueue[Key]("pvcprotection")
        self._claims.on_change(self._on_claim)
        self._pods.on_change(self._on_pod)

    async def run(self, workers: int) -> None:
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, key: Key) -> None:
        claim = self._claims.get(key)
        if claim is None:
            return
        if not meta.is_being_deleted(claim):
            await protect(self._client_claims, claim, PVC_PROTECTION)
        elif PVC_PROTECTION in (claim.metadata.finalizers or ()) and not await self._is_used(key):
            await release(self._client_claims, claim, PVC_PROTECTION)

    async def _is_used(self, key: Key) -> bool:
        """By a pod that is on a node. The server is asked before the answer is no."""
        if any(uses(pod, key) for pod in self._pods.by_index(BY_CLAIM, key)):
            return True
        return any(uses(pod, key) for pod in (await self._client_pods.list(namespace=key.namespace)).items)

    def _on_claim(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        if new is not None:
            self._queue.add(meta.key_of(new))

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if new is None and old is not None:
            for key in claims_of(old):
                if isinstance(key, Key):
                    self._queue.add(key)


class PVProtectionController:
    def __init__(self, client: Client, informers: Informers) -> None:
        self._client, self._volumes = client.resource(PersistentVolume), informers.volumes
        self._queue = WorkQueue[Key]("pvprotection")
        self._volumes.on_change(self._on_volume)

    async def run(self, workers: int) -> None:
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, key: Key) -> None:
        volume = self._volumes.get(key)
        if volume is None:
            return
        if not meta.is_being_deleted(volume):
            await protect(self._client, volume, PV_PROTECTION)
        elif PV_PROTECTION in (volume.metadata.finalizers or ()) and volume.status.phase != "Bound":
            await release(self._client, volume, PV_PROTECTION)

    def _on_volume(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        if new is not None:
            self._queue.add(meta.key_of(new))


def uses(pod: Pod, claim: Key) -> bool:
    """Whether a pod that is on a node mounts the claim; one that is not may not start with a claim that is going."""
    return bool(pod.spec.node_name) and claim in claims_of(pod)


async def protect(resource: Resource[Any], obj: KubeObject, finalizer: str) -> None:
    """For those that were made when nobody put the finalizer on."""
    if finalizer not in (obj.metadata.finalizers or ()):
        await _write(resource, obj, [*(obj.metadata.finalizers or ()), finalizer])


async def release(resource: Resource[Any], obj: KubeObject, finalizer: str) -> None:
    await _write(resource, obj, [one for one in obj.metadata.finalizers or () if one != finalizer])
    log.info("%s: %s taken off", meta.key_of(obj), finalizer)


async def _write(resource: Resource[Any], obj: KubeObject, finalizers: Sequence[str]) -> None:
    """All of them, of the version that was looked at. Raises Conflict if there is a newer one."""
    version = {"uid": meta.uid_of(obj), "resourceVersion": obj.metadata.resource_version}
    patch = {"metadata": {**version, "finalizers": [*finalizers]}}
    namespace = meta.namespace_of(obj) or None
    with suppress(errors.NotFound):
        await resource.patch(meta.name_of(obj), patch, namespace=namespace, kind="merge")
