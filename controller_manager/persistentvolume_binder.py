"""Binds persistent volume claims to volumes, and releases or reclaims a volume whose claim is gone.

Binding is two writes, the volume's ``claimRef`` first and the claim's ``volumeName`` second; each is conditional on the
version that was read, so that no volume gets two claims, and a controller that was stopped in between continues where
it was. One worker: of two claims that suit one volume, the second sees what the first was given.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from apimachinery import codec, errors, meta
from apimachinery.core.persistent_volumes import (
    best_match,
    class_of,
    delays_binding,
    is_provisioned_externally,
    mismatch,
    reference,
    refers,
)
from apimachinery.core.well_known import (
    BIND_COMPLETED_ANNOTATION,
    BOUND_BY_CONTROLLER_ANNOTATION,
    SELECTED_NODE_ANNOTATION,
    STORAGE_PROVISIONER_ANNOTATIONS,
)
from apimachinery.meta import Key
from apimachinery.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from apimachinery.types.storage_v1 import StorageClass
from controller_manager import indexes
from controller_manager.context import ControllerContext
from controller_manager.indexes import BY_CLAIM
from controller_manager.volume_reclaim import Reclaimer
from kube_client import WorkQueue, process

log = logging.getLogger(__name__)


class _Work(NamedTuple):
    kind: str
    key: Key


class PersistentVolumeBinder:
    def __init__(self, context: ControllerContext) -> None:
        self._volumes_api = context.client.resource(PersistentVolume)
        self._claims_api = context.client.resource(PersistentVolumeClaim)
        self._volumes, self._claims = context.informer(PersistentVolume), context.informer(PersistentVolumeClaim)
        self._classes = context.informer(StorageClass)
        self._pods = context.informer(Pod, indexes={BY_CLAIM: indexes.claims_of})
        self._recorder = context.recorder.of("persistentvolume-controller")
        self._reclaimer = Reclaimer(context.client, self._recorder)
        self._queue = WorkQueue[_Work]("persistentvolume_binder")
        self._volumes.on_change(self._on_volume)
        self._claims.on_change(self._on_claim)
        self._classes.feed(self._queue, lambda storage_class: self._pending(meta.name_of(storage_class)))

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=1)

    async def sync(self, work: _Work) -> None:
        """Bring one volume or claim closer to its spec."""
        if work.kind == "volume":
            volume = self._volumes.get(work.key)
            if volume is not None:
                await self._sync_volume(volume)
        elif (claim := self._claims.get(work.key)) is not None:
            if BIND_COMPLETED_ANNOTATION in meta.annotations_of(claim):
                await self._sync_bound(claim)
            elif not meta.is_being_deleted(claim):
                await self._sync_unbound(claim)

    # -- claims

    async def _sync_unbound(self, claim: PersistentVolumeClaim) -> None:
        if claim.spec.volume_name:
            await self._bind_to_named(claim, claim.spec.volume_name)
            return
        waits = self._waits_for_consumer(claim)
        volume = best_match(claim, self._volumes.list(), reserved_only=waits)
        if volume is not None:
            await self._bind(volume, claim)
            return
        self._explain_unbound(claim, waits)
        if not waits:
            await self._request_provisioning(claim)
        await self._set_claim_phase(claim, "Pending")

    async def _bind_to_named(self, claim: PersistentVolumeClaim, name: str) -> None:
        volume = self._volumes.get(Key("", name))
        if volume is None:
            await self._set_claim_phase(claim, "Pending")
        elif volume.spec.claim_ref is None and (fault := mismatch(volume, claim)):
            message = f'Cannot bind to requested volume "{name}": {fault}'
            self._recorder.event(claim, "Warning", "VolumeMismatch", message)
            await self._set_claim_phase(claim, "Pending")
        elif volume.spec.claim_ref is None or refers(volume.spec.claim_ref, claim):
            await self._bind(volume, claim)
        else:
            message = f'volume "{name}" already bound to a different claim.'
            self._recorder.event(claim, "Warning", "FailedBinding", message)
            await self._set_claim_phase(claim, "Pending")

    async def _sync_bound(self, claim: PersistentVolumeClaim) -> None:
        """Check a claim that was bound before: its volume must still exist and refer to it."""
        if not claim.spec.volume_name:
            message = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
            await self._lose(claim, "ClaimLost", message)
            return
        volume = self._volumes.get(Key("", claim.spec.volume_name))
        if volume is None and not await self._exists(claim.spec.volume_name):
            message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            await self._lose(claim, "ClaimLost", message)
        elif volume is not None and (volume.spec.claim_ref is None or refers(volume.spec.claim_ref, claim)):
            await self._bind(volume, claim)
        elif volume is not None:
            message = "Two claims are bound to the same volume, this one is bound incorrectly"
            await self._lose(claim, "ClaimMisbound", message)

    async def _lose(self, claim: PersistentVolumeClaim, reason: str, message: str) -> None:
        if claim.status.phase != "Lost":
            self._recorder.event(claim, "Warning", reason, message)
        await self._set_claim_phase(claim, "Lost")

    def _waits_for_consumer(self, claim: PersistentVolumeClaim) -> bool:
        """Whether its class delays binding until a pod is scheduled, and none has been yet."""
        is_delayed = delays_binding(self._classes.get(Key("", class_of(claim))))
        return is_delayed and SELECTED_NODE_ANNOTATION not in meta.annotations_of(claim)

    def _explain_unbound(self, claim: PersistentVolumeClaim, waits: bool) -> None:
        name = class_of(claim)
        storage_class = self._classes.get(Key("", name))
        if waits:
            pods = self._pods.by_index(BY_CLAIM, meta.key_of(claim))
            if pods:
                message = f"waiting for pod {meta.name_of(pods[0])} to be scheduled"
                self._recorder.event(claim, "Normal", "WaitForPodScheduled", message)
            else:
                message = "waiting for first consumer to be created before binding"
                self._recorder.event(claim, "Normal", "WaitForFirstConsumer", message)
        elif not name:
            message = "no persistent volumes available for this claim and no storage class is set"
            self._recorder.event(claim, "Normal", "FailedBinding", message)
        elif storage_class is None:
            message = f'storageclass.storage.k8s.io "{name}" not found'
            self._recorder.event(claim, "Warning", "ProvisioningFailed", message)
        elif not is_provisioned_externally(storage_class):
            message = f"no volume plugin matched name: {storage_class.provisioner}"
            self._recorder.event(claim, "Warning", "ProvisioningFailed", message)
        else:
            message = (
                f"Waiting for a volume to be created either by the external provisioner '{storage_class.provisioner}' or "
                "manually by the system administrator. If volume creation is delayed, please verify that the "
                "provisioner is running and correctly registered."
            )
            self._recorder.event(claim, "Normal", "ExternalProvisioning", message)

    async def _request_provisioning(self, claim: PersistentVolumeClaim) -> None:
        """Where an external provisioner creates volumes, annotate the claim so that it creates one."""
        storage_class = self._classes.get(Key("", class_of(claim)))
        if storage_class is None or not is_provisioned_externally(storage_class):
            return
        annotations = dict.fromkeys(STORAGE_PROVISIONER_ANNOTATIONS, storage_class.provisioner)
        if not annotations.items() <= meta.annotations_of(claim).items():
            changed = codec.copy(claim)
            changed.metadata.annotations = {**meta.annotations_of(claim), **annotations}
            await self._claims_api.update(changed)

    # -- the binding

    async def _bind(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> None:
        """Write what is missing of the binding, in this order. Raises Conflict if another writer was faster."""
        ref = volume.spec.claim_ref
        if ref is None or ref.uid != meta.uid_of(claim):
            changed = codec.copy(volume)
            changed.spec.claim_ref = reference(claim)
            if ref is None:
                changed.metadata.annotations = {**meta.annotations_of(volume), BOUND_BY_CONTROLLER_ANNOTATION: "yes"}
            volume = await self._volumes_api.update(changed)
            log.info("%s: bound to %s", meta.name_of(volume), meta.key_of(claim))
        volume = await self._set_volume_phase(volume, "Bound")
        if claim.spec.volume_name != meta.name_of(volume) or BIND_COMPLETED_ANNOTATION not in meta.annotations_of(
            claim
        ):
            bound = codec.copy(claim)
            marks = {BIND_COMPLETED_ANNOTATION: "yes"}
            if not claim.spec.volume_name:
                bound.spec.volume_name = meta.name_of(volume)
                marks[BOUND_BY_CONTROLLER_ANNOTATION] = "yes"
            bound.metadata.annotations = {**meta.annotations_of(claim), **marks}
            claim = await self._claims_api.update(bound)
        await self._set_claim_phase(claim, "Bound", volume)

    async def _set_claim_phase(
        self, claim: PersistentVolumeClaim, phase: str, volume: PersistentVolume | None = None
    ) -> None:
        changed = codec.copy(claim)
        changed.status.phase = phase
        if volume is not None:
            changed.status.access_modes, changed.status.capacity = volume.spec.access_modes, volume.spec.capacity
        elif phase == "Pending":
            changed.status.access_modes = changed.status.capacity = None
        if changed.status != claim.status:
            await self._claims_api.update_status(changed)

    async def _set_volume_phase(self, volume: PersistentVolume, phase: str) -> PersistentVolume:
        if volume.status.phase == phase:
            return volume
        changed = codec.copy(volume)
        changed.status.phase, changed.status.message, changed.status.reason = phase, None, None
        changed.status.last_phase_transition_time = meta.now()
        return await self._volumes_api.update_status(changed)

    # -- volumes

    async def _sync_volume(self, volume: PersistentVolume) -> None:
        ref = volume.spec.claim_ref
        if ref is None or not ref.uid:  # free, or reserved for a claim that does not exist yet
            await self._set_volume_phase(volume, "Available")
            return
        claim = await self._claim(Key(ref.namespace or "", ref.name or ""), ref.uid)
        if claim is None:
            if volume.status.phase not in ("Released", "Failed"):
                volume = await self._set_volume_phase(volume, "Released")
            await self._reclaimer.reclaim(volume)
        elif not claim.spec.volume_name:
            self._queue.add(_Work("claim", meta.key_of(claim)))
        elif claim.spec.volume_name == meta.name_of(volume):
            await self._set_volume_phase(volume, "Bound")
        elif BOUND_BY_CONTROLLER_ANNOTATION in meta.annotations_of(volume):
            await self._unbind(volume)

    async def _unbind(self, volume: PersistentVolume) -> None:
        """Free a volume whose claim is bound to another one."""
        changed = codec.copy(volume)
        changed.spec.claim_ref = None
        annotations = meta.annotations_of(volume)
        changed.metadata.annotations = {
            key: value for key, value in annotations.items() if key != BOUND_BY_CONTROLLER_ANNOTATION
        }
        await self._set_volume_phase(await self._volumes_api.update(changed), "Available")

    async def _claim(self, key: Key, uid: str) -> PersistentVolumeClaim | None:
        """The claim with that UID. The server is asked before it counts as gone: data may be at stake."""
        claim = self._claims.get(key)
        if claim is None or meta.uid_of(claim) != uid:
            try:
                claim = await self._claims_api.get(key.name, namespace=key.namespace)
            except errors.NotFound:
                return None
        return claim if meta.uid_of(claim) == uid else None

    async def _exists(self, volume: str) -> bool:
        with suppress(errors.NotFound):
            await self._volumes_api.get(volume)
            return True
        return False

    # -- events

    def _on_volume(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        volume = new or old
        assert volume is not None
        self._queue.add(_Work("volume", meta.key_of(volume)))
        if (ref := volume.spec.claim_ref) is not None:
            self._queue.add(_Work("claim", Key(ref.namespace or "", ref.name or "")))
        for work in self._pending(class_of(volume)):
            self._queue.add(work)

    def _on_claim(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        claim = new or old
        assert claim is not None
        self._queue.add(_Work("claim", meta.key_of(claim)))
        for volume in self._volumes.list():
            if refers(volume.spec.claim_ref, claim):
                self._queue.add(_Work("volume", meta.key_of(volume)))

    def _pending(self, class_name: str) -> Iterator[_Work]:
        """The claims of a class that are not bound yet."""
        for claim in self._claims.list():
            if class_of(claim) == class_name and BIND_COMPLETED_ANNOTATION not in meta.annotations_of(claim):
                yield _Work("claim", meta.key_of(claim))
