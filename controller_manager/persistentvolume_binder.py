"""Binds persistent volume claims to volumes, and sees to what becomes of a volume whose claim is gone.

Binding is two writes, the volume's ``claimRef`` first and the claim's ``volumeName`` second; each is bound to the
version that was looked at, so that no volume gets two claims, and a controller that was stopped in between goes on
where it was. One worker: of two claims that want one volume the second sees the first one's choice.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from apimachinery import codec, errors, meta
from apimachinery.core.persistent_volumes import best_match, class_of, mismatch, reference, refers
from apimachinery.meta import Key
from apimachinery.types.core_v1 import PersistentVolume, PersistentVolumeClaim
from apimachinery.types.storage_v1 import StorageClass
from controller_manager.informers import BY_CLAIM, Informers
from controller_manager.volume_reclaim import Reclaimer
from kube_client import Client, EventRecorder, WorkQueue, process

log = logging.getLogger(__name__)

BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
_PROVISIONERS: Final = (
    "volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner",
)  # fmt: skip
_IN_TREE: Final = "kubernetes.io/"


class _Work(NamedTuple):
    kind: str
    key: Key


class PersistentVolumeBinder:
    def __init__(self, client: Client, informers: Informers, recorder: EventRecorder) -> None:
        self._client_volumes = client.resource(PersistentVolume)
        self._client_claims = client.resource(PersistentVolumeClaim)
        self._volumes, self._claims = informers.volumes, informers.claims
        self._classes, self._pods = informers.storage_classes, informers.pods
        self._recorder = recorder
        self._reclaimer = Reclaimer(client, recorder)
        self._queue = WorkQueue[_Work]("persistentvolume_binder")
        self._volumes.on_change(self._on_volume)
        self._claims.on_change(self._on_claim)
        self._classes.on_change(self._on_class)

    async def run(self, workers: int) -> None:
        await process(self._queue, self.sync, workers=1)

    async def sync(self, work: _Work) -> None:
        """Look at one volume or claim, and take it towards what it should be."""
        if work.kind == "volume":
            volume = self._volumes.get(work.key)
            if volume is not None:
                await self._sync_volume(volume)
        elif (claim := self._claims.get(work.key)) is not None:
            if BIND_COMPLETED in meta.annotations_of(claim):
                await self._sync_bound(claim)
            elif not meta.is_being_deleted(claim):
                await self._sync_unbound(claim)

    # -- claims

    async def _sync_unbound(self, claim: PersistentVolumeClaim) -> None:
        if wanted := claim.spec.volume_name:
            await self._bind_to_named(claim, wanted)
            return
        waits = self._waits_for_consumer(claim)
        volume = best_match(claim, self._volumes.list(), reserved_only=waits)
        if volume is not None:
            await self._bind(volume, claim)
            return
        self._tell_unbound(claim, waits)
        if not waits:
            await self._ask_provisioner(claim)
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
        """It was bound once: its volume must still be there and be its own."""
        if not claim.spec.volume_name:
            why = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
            await self._lose(claim, "ClaimLost", why)
            return
        volume = self._volumes.get(Key("", claim.spec.volume_name))
        if volume is None and not await self._exists(claim.spec.volume_name):
            await self._lose(
                claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            )
        elif volume is not None and (volume.spec.claim_ref is None or refers(volume.spec.claim_ref, claim)):
            await self._bind(volume, claim)
        elif volume is not None:
            why = "Two claims are bound to the same volume, this one is bound incorrectly"
            await self._lose(claim, "ClaimMisbound", why)

    async def _lose(self, claim: PersistentVolumeClaim, reason: str, why: str) -> None:
        if claim.status.phase != "Lost":
            self._recorder.event(claim, "Warning", reason, why)
        await self._set_claim_phase(claim, "Lost")

    def _waits_for_consumer(self, claim: PersistentVolumeClaim) -> bool:
        """Whether its class binds when a pod is scheduled, and that has not been."""
        found = self._classes.get(Key("", class_of(claim)))
        delayed = found is not None and found.volume_binding_mode == "WaitForFirstConsumer"
        return delayed and SELECTED_NODE not in meta.annotations_of(claim)

    def _tell_unbound(self, claim: PersistentVolumeClaim, waits: bool) -> None:
        name = class_of(claim)
        found = self._classes.get(Key("", name))
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
        elif found is None:
            message = f'storageclass.storage.k8s.io "{name}" not found'
            self._recorder.event(claim, "Warning", "ProvisioningFailed", message)
        elif found.provisioner.startswith(_IN_TREE):
            message = f"no volume plugin matched name: {found.provisioner}"
            self._recorder.event(claim, "Warning", "ProvisioningFailed", message)
        else:
            message = (
                f"Waiting for a volume to be created either by the external provisioner '{found.provisioner}' or "
                "manually by the system administrator. If volume creation is delayed, please verify that the "
                "provisioner is running and correctly registered."
            )
            self._recorder.event(claim, "Normal", "ExternalProvisioning", message)

    async def _ask_provisioner(self, claim: PersistentVolumeClaim) -> None:
        """Where others make volumes, tell them by annotations that this claim wants one."""
        found = self._classes.get(Key("", class_of(claim)))
        if found is None or found.provisioner.startswith(_IN_TREE):
            return
        annotations = meta.annotations_of(claim)
        wanted = dict.fromkeys(_PROVISIONERS, found.provisioner)
        if not wanted.items() <= annotations.items():
            patch = {"metadata": {"uid": meta.uid_of(claim), "annotations": wanted}}
            await self._client_claims.patch(
                meta.name_of(claim), patch, namespace=meta.namespace_of(claim), kind="merge"
            )

    # -- the binding

    async def _bind(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> None:
        """Write what is missing of it, in this order. Raises Conflict where somebody else was faster."""
        ref = volume.spec.claim_ref
        if ref is None or ref.uid != meta.uid_of(claim):
            changed = codec.copy(volume)
            changed.spec.claim_ref = reference(claim)
            if ref is None:
                changed.metadata.annotations = {**meta.annotations_of(volume), BOUND_BY_CONTROLLER: "yes"}
            volume = await self._client_volumes.update(changed)
            log.info("%s: bound to %s", meta.name_of(volume), meta.key_of(claim))
        volume = await self._set_volume_phase(volume, "Bound")
        if claim.spec.volume_name != meta.name_of(volume) or BIND_COMPLETED not in meta.annotations_of(claim):
            bound = codec.copy(claim)
            marks = {BIND_COMPLETED: "yes"}
            if not claim.spec.volume_name:
                bound.spec.volume_name = meta.name_of(volume)
                marks[BOUND_BY_CONTROLLER] = "yes"
            bound.metadata.annotations = {**meta.annotations_of(claim), **marks}
            claim = await self._client_claims.update(bound)
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
            await self._client_claims.update_status(changed)

    async def _set_volume_phase(self, volume: PersistentVolume, phase: str) -> PersistentVolume:
        if volume.status.phase == phase:
            return volume
        changed = codec.copy(volume)
        changed.status.phase, changed.status.message, changed.status.reason = phase, None, None
        changed.status.last_phase_transition_time = meta.now()
        return await self._client_volumes.update_status(changed)

    # -- volumes

    async def _sync_volume(self, volume: PersistentVolume) -> None:
        ref = volume.spec.claim_ref
        if ref is None or not ref.uid:  # free, or kept for a claim that is still to come
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
        elif BOUND_BY_CONTROLLER in meta.annotations_of(volume):
            await self._unbind(volume)

    async def _unbind(self, volume: PersistentVolume) -> None:
        """Its claim has taken another one."""
        changed = codec.copy(volume)
        changed.spec.claim_ref = None
        annotations = meta.annotations_of(volume)
        changed.metadata.annotations = {key: text for key, text in annotations.items() if key != BOUND_BY_CONTROLLER}
        await self._set_volume_phase(await self._client_volumes.update(changed), "Available")

    async def _claim(self, key: Key, uid: str) -> PersistentVolumeClaim | None:
        """The claim of that UID. The server is asked before it counts as gone: data may be at stake."""
        found = self._claims.get(key)
        if found is None or meta.uid_of(found) != uid:
            try:
                found = await self._client_claims.get(key.name, namespace=key.namespace)
            except errors.NotFound:
                return None
        return found if meta.uid_of(found) == uid else None

    async def _exists(self, volume: str) -> bool:
        with suppress(errors.NotFound):
            await self._client_volumes.get(volume)
            return True
        return False

    # -- what to look at

    def _on_volume(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        one = new or old
        assert one is not None
        self._queue.add(_Work("volume", meta.key_of(one)))
        if (ref := one.spec.claim_ref) is not None:
            self._queue.add(_Work("claim", Key(ref.namespace or "", ref.name or "")))
        self._add_pending(class_of(one))

    def _on_claim(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        one = new or old
        assert one is not None
        if new is not None:
            self._queue.add(_Work("claim", meta.key_of(new)))
        self._add_volumes(volume for volume in self._volumes.list() if refers(volume.spec.claim_ref, one))

    def _on_class(self, old: StorageClass | None, new: StorageClass | None) -> None:
        if one := new or old:
            self._add_pending(meta.name_of(one))

    def _add_pending(self, name: str) -> None:
        for claim in self._claims.list():
            if class_of(claim) == name and BIND_COMPLETED not in meta.annotations_of(claim):
                self._queue.add(_Work("claim", meta.key_of(claim)))

    def _add_volumes(self, volumes: Iterable[PersistentVolume]) -> None:
        for volume in volumes:
            self._queue.add(_Work("volume", meta.key_of(volume)))
