"""persistentVolumeClaim and ephemeral: the persistent volume that a claim is bound to, of whatever type.

The kubelet waits until the claim is bound, and mounts nothing unless claim and volume refer to each other.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from apimachinery import errors, meta
from apimachinery.core import node_selection, pods
from apimachinery.types import core_v1
from kubelet.volumes.plugin import Plugin, Request, VolumeError, VolumeSource


class PersistentVolumeClaimVolume(Plugin):
    kind = "persistent-volume"

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        """``plugins`` are the types that a persistent volume may have."""
        self._plugins = plugins

    def handles(self, source: VolumeSource) -> bool:
        if not isinstance(source, core_v1.Volume):
            return False
        return source.persistent_volume_claim is not None or source.ephemeral is not None

    def is_read_only(self, source: VolumeSource) -> bool:
        claim = source.persistent_volume_claim if isinstance(source, core_v1.Volume) else None
        return bool(claim and claim.read_only)

    async def set_up(self, request: Request) -> Path:
        claim = await self._claim(request)
        volume = await self._volume(request, claim)
        await _check_node(request, volume)
        for plugin in self._plugins:
            if plugin.handles(volume.spec):
                return await plugin.set_up(replace(request, source=volume.spec))
        raise VolumeError(f'no volume plugin matched for persistent volume "{meta.name_of(volume)}"')

    async def _claim(self, request: Request) -> core_v1.PersistentVolumeClaim:
        """The claim, bound. Raises ``VolumeError``."""
        pod = request.pod
        assert isinstance(request.source, core_v1.Volume), "see handles"
        named = request.source.persistent_volume_claim
        name = named.claim_name if named else pods.ephemeral_claim_name(pod, request.name)
        prefix = f"error processing PVC {meta.namespace_of(pod)}/{name}"
        claim = await request.objects.claim(pod, name)
        if claim is None:
            raise VolumeError(
                f'{prefix}: failed to fetch PVC from API server: persistentvolumeclaims "{name}" not found'
            )
        owner = meta.controller_of(claim)
        if named is None and (owner is None or owner.uid != meta.uid_of(pod)):
            raise VolumeError(f"{prefix}: PVC was not created for pod {meta.key_of(pod)} (pod is not owner)")
        if meta.is_being_deleted(claim):
            raise VolumeError(f"{prefix}: PVC is being deleted")
        if claim.status.phase != "Bound" or not claim.spec.volume_name:
            raise VolumeError(f"{prefix}: PVC is not bound")
        return claim

    async def _volume(self, request: Request, claim: core_v1.PersistentVolumeClaim) -> core_v1.PersistentVolume:
        name = claim.spec.volume_name or ""
        volume = await request.objects.persistent_volume(name)
        if volume is None:
            raise VolumeError(f'failed to get PV {name} from API server: persistentvolumes "{name}" not found')
        ref = volume.spec.claim_ref
        if ref is None or ref.uid != meta.uid_of(claim):
            raise VolumeError(f"PV {name} is bound to another claim than {meta.key_of(claim)}")
        if volume.spec.volume_mode == "Block":
            raise VolumeError(f"PV {name} is a block device; volumeMode Block is not supported")
        return volume


async def _check_node(request: Request, volume: core_v1.PersistentVolume) -> None:
    """Raises ``VolumeError`` if the volume is not accessible from this node."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return
    try:
        node = await request.objects.node_of(request.pod)
    except errors.NotFound as exc:
        raise VolumeError(str(exc)) from exc
    if not node_selection.selects(affinity.required, node):
        raise VolumeError(
            f'MountVolume.NodeAffinity check failed for volume "{meta.name_of(volume)}" : no matching NodeSelectorTerms'
        )
