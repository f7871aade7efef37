"""Claims of pods' ``ephemeral`` volumes: created from the template in the pod, owned by it, deleted with it."""

from collections.abc import Iterator
from typing import Final

from apimachinery import codec, errors, meta
from apimachinery.core.pods import ephemeral_claim_name
from apimachinery.meta import Key
from apimachinery.types.core_v1 import PersistentVolumeClaim, Pod, Volume
from apimachinery.types.meta_v1 import ObjectMeta
from controller_manager.context import ControllerContext
from kube_client import WorkQueue, process

_WORKERS: Final = 2


class EphemeralVolumeController:
    def __init__(self, context: ControllerContext) -> None:
        self._claims_api = context.client.resource(PersistentVolumeClaim)
        self._recorder = context.recorder.of("ephemeral_volume")
        self._pods, self._claims = context.informer(Pod), context.informer(PersistentVolumeClaim)
        self._queue = WorkQueue[Key]("ephemeral_volume")
        self._pods.feed(self._queue, self._keys)

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=_WORKERS)

    async def sync(self, key: Key) -> None:
        pod = self._pods.get(key)
        if pod is None or meta.is_being_deleted(pod):
            return
        for volume in pod.spec.volumes or ():
            if volume.ephemeral is not None:
                await self._ensure(pod, volume)

    async def _ensure(self, pod: Pod, volume: Volume) -> None:
        claim = claim_for(pod, volume)
        key = meta.key_of(claim)
        existing = self._claims.get(key)
        if existing is None:
            try:
                await self._claims_api.create(claim)
            except errors.AlreadyExists:
                existing = await self._claims_api.get(key.name, namespace=key.namespace)
        if existing is not None and not is_of(existing, pod):
            message = f"PVC {key} was not created for pod {meta.key_of(pod)} (pod is not owner)"
            self._recorder.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume.name}: {message}")

    @staticmethod
    def _keys(pod: Pod) -> Iterator[Key]:
        if any(volume.ephemeral is not None for volume in pod.spec.volumes or ()):
            yield meta.key_of(pod)


def claim_for(pod: Pod, volume: Volume) -> PersistentVolumeClaim:
    template = volume.ephemeral.volume_claim_template if volume.ephemeral else None
    assert template is not None, "validation requires it"
    template_metadata = template.metadata or ObjectMeta()
    metadata = ObjectMeta(
        name=ephemeral_claim_name(pod, volume.name),
        namespace=meta.namespace_of(pod),
        labels=template_metadata.labels,
        annotations=template_metadata.annotations,
        owner_references=[meta.owner_reference(pod)],
    )
    return PersistentVolumeClaim(metadata=metadata, spec=codec.copy(template.spec))


def is_of(claim: PersistentVolumeClaim, pod: Pod) -> bool:
    owner = meta.controller_of(claim)
    return owner is not None and owner.uid == meta.uid_of(pod)
