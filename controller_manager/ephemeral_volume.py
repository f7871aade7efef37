"""Claims of pods' ``ephemeral`` volumes: made for the pod from the template in it, owned by it, gone with it."""

import logging
from typing import Final

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import PersistentVolumeClaim, Pod, Volume
from apimachinery.types.meta_v1 import ObjectMeta
from controller_manager.informers import Informers
from kube_client import Client, EventRecorder, WorkQueue, process

log = logging.getLogger(__name__)

_REASON: Final = "FailedBinding"


class EphemeralVolumeController:
    def __init__(self, client: Client, informers: Informers, recorder: EventRecorder) -> None:
        self._client, self._recorder = client.resource(PersistentVolumeClaim), recorder
        self._pods, self._claims = informers.pods, informers.claims
        self._queue = WorkQueue[Key]("ephemeral_volume")
        self._pods.on_change(self._on_pod)

    async def run(self, workers: int) -> None:
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, key: Key) -> None:
        pod = self._pods.get(key)
        if pod is None or meta.is_being_deleted(pod):
            return
        for volume in pod.spec.volumes or ():
            if volume.ephemeral is not None:
                await self._ensure(pod, volume)

    async def _ensure(self, pod: Pod, volume: Volume) -> None:
        claim = claim_for(pod, volume)
        found = self._claims.get(meta.key_of(claim))
        if found is None:
            try:
                await self._client.create(claim)
            except errors.AlreadyExists:
                found = await self._client.get(meta.name_of(claim), namespace=meta.namespace_of(claim))
        if found is not None and not is_of(found, pod):
            name = meta.name_of(found)
            message = (
                f"PVC {meta.namespace_of(found)}/{name} was not created for pod {meta.key_of(pod)} (pod is not owner)"
            )
            self._recorder.event(pod, "Warning", _REASON, f"ephemeral volume {volume.name}: {message}")

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if new is not None and any(one.ephemeral is not None for one in new.spec.volumes or ()):
            self._queue.add(meta.key_of(new))


def claim_for(pod: Pod, volume: Volume) -> PersistentVolumeClaim:
    template = volume.ephemeral.volume_claim_template if volume.ephemeral else None
    assert template is not None, "validation asks for it"
    given = template.metadata or ObjectMeta()
    metadata = ObjectMeta(
        name=f"{meta.name_of(pod)}-{volume.name}",
        namespace=meta.namespace_of(pod),
        labels=given.labels,
        annotations=given.annotations,
        owner_references=[meta.owner_reference(pod)],
    )
    return PersistentVolumeClaim(metadata=metadata, spec=codec.copy(template.spec))


def is_of(claim: PersistentVolumeClaim, pod: Pod) -> bool:
    owner = meta.controller_of(claim)
    return owner is not None and owner.uid == meta.uid_of(pod)
