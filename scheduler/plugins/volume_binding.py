"""Persistent volume claims: a pod waits until its claims are bound, and runs where its volumes can be reached.

A claim whose class binds immediately must be bound before the pod is scheduled. For one whose class waits for its first
consumer, this plugin reserves a volume that the selected node can reach; the volume controller completes the binding,
and the pod is bound after that. Where volumes are provisioned on demand, the node is written to the claim instead.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

import numpy as np

from apimachinery import codec, errors, meta
from apimachinery.core import node_selection, well_known
from apimachinery.core.persistent_volumes import (
    best_match,
    class_of,
    delays_binding,
    is_provisioned_externally,
    matches,
    reference,
)
from apimachinery.core.pods import claims_of
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim
from apimachinery.types.storage_v1 import StorageClass
from scheduler.columns import Bools, Ints, NodeTable
from scheduler.framework import Handle, Unschedulable
from scheduler.plugins.node_affinity import rows_selected
from scheduler.pod_info import PodInfo

BIND_SECONDS: Final = 60.0

_UNREACHABLE: Final = "node(s) didn't match PersistentVolume's node affinity"
_NO_VOLUME: Final = "node(s) didn't find available persistent volumes to bind"


class VolumeBinding:
    name = "VolumeBinding"
    events_to_register = (PersistentVolumeClaim, PersistentVolume, StorageClass)

    def __init__(self, handle: Handle) -> None:
        self._volumes_api = handle.client.resource(PersistentVolume)
        self._claims_api = handle.client.resource(PersistentVolumeClaim)
        self._claims, self._volumes = handle.informer(PersistentVolumeClaim), handle.informer(PersistentVolume)
        self._classes, self._nodes = handle.informer(StorageClass), handle.informer(Node)
        self._changed: dict[Key, asyncio.Event] = {}
        self._claims.on_change(self._on_claim)

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools | None:
        if not (claims := self._claims_of(pod, table)):
            return None
        passed = np.ones(len(table.names), np.bool_)
        for claim in claims:
            passed &= self._reachable(claim, table)
        return passed

    def reject_reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterator[str]:
        bound_reachable = np.ones(len(table.names), np.bool_)
        for claim in self._claims_of(pod, table):
            if claim.spec.volume_name:
                bound_reachable &= self._reachable(claim, table)
        for row in rejected.tolist():
            yield _NO_VOLUME if bound_reachable[row] else _UNREACHABLE

    async def pre_bind(self, pod: PodInfo, node: str) -> None:
        """Return once all claims are bound."""
        for key in claims_of(pod.pod):
            claim = self._claims.get(key)
            if claim is None:
                raise errors.not_found("persistentvolumeclaims", "", key.name)
            if not is_bound(claim):
                await self._reserve(claim, node)
                await self._until_bound(key)

    def _claims_of(self, pod: PodInfo, table: NodeTable) -> list[PersistentVolumeClaim]:
        """The pod's claims. Raises Unschedulable if it must wait for one."""
        claims = []
        for key in claims_of(pod.pod):
            claim = self._claims.get(key)
            reason = ""
            if claim is None:
                reason = f'persistentvolumeclaim "{key.name}" not found'
            elif claim.status.phase == "Lost":
                volume = claim.spec.volume_name
                reason = f'persistentvolumeclaim "{key.name}" bound to non-existent persistentvolume "{volume}"'
            elif meta.is_being_deleted(claim):
                reason = f'persistentvolumeclaim "{key.name}" is being deleted'
            elif not is_bound(claim) and not delays_binding(self._class_of(claim)):
                reason = "pod has unbound immediate PersistentVolumeClaims"
            if reason or claim is None:
                raise Unschedulable(f"0/{len(table)} nodes are available: {reason}.")
            claims.append(claim)
        return claims

    def _class_of(self, claim: PersistentVolumeClaim) -> StorageClass | None:
        return self._classes.get(Key("", class_of(claim)))

    def _reachable(self, claim: PersistentVolumeClaim, table: NodeTable) -> Bools:
        """The rows from which the claim's volume, or one that it could have, can be used."""
        all_rows = np.ones(len(table.names), np.bool_)
        if claim.spec.volume_name:
            volume = self._volumes.get(Key("", claim.spec.volume_name))
            return all_rows if volume is None else _reachable_from(volume, table)
        if is_provisioned_externally(self._class_of(claim)):
            return all_rows
        rows = np.zeros(len(table.names), np.bool_)
        for volume in self._volumes.list():
            if matches(volume, claim):
                rows |= _reachable_from(volume, table)
        return rows

    async def _reserve(self, claim: PersistentVolumeClaim, node: str) -> None:
        """Reserve the smallest volume that the node can reach, or say where one should be provisioned."""
        volume = best_match(claim, [volume for volume in self._volumes.list() if self._is_reachable(volume, node)])
        if volume is not None and volume.spec.claim_ref is None:
            changed = codec.copy(volume)
            changed.spec.claim_ref = reference(claim)
            changed.metadata.annotations = {
                **meta.annotations_of(volume),
                well_known.BOUND_BY_CONTROLLER_ANNOTATION: "yes",
            }
            await self._volumes_api.update(changed)  # a Conflict if another claim was faster
        elif volume is None and is_provisioned_externally(self._class_of(claim)):
            namespace, name = meta.key_of(claim)
            patch = {
                "metadata": {"uid": meta.uid_of(claim), "annotations": {well_known.SELECTED_NODE_ANNOTATION: node}}
            }
            await self._claims_api.patch(name, patch, namespace=namespace, kind="merge")
        elif volume is None:
            raise errors.conflict(
                "persistentvolumeclaims", "", meta.name_of(claim), f"no volume that {node} can reach is left for it"
            )

    def _is_reachable(self, volume: PersistentVolume, name: str) -> bool:
        affinity = volume.spec.node_affinity
        if affinity is None or affinity.required is None:
            return True
        node = self._nodes.get(Key("", name))
        return node is not None and node_selection.selects(affinity.required, node)

    async def _until_bound(self, key: Key) -> None:
        """Raises Timeout."""
        changed = self._changed.setdefault(key, asyncio.Event())
        try:
            async with asyncio.timeout(BIND_SECONDS):
                while (claim := self._claims.get(key)) is None or not is_bound(claim):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise errors.Timeout(f"claim {key} was not bound within {BIND_SECONDS:.0f} s") from None
        finally:
            self._changed.pop(key, None)

    def _on_claim(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        claim = new or old
        if claim is not None and (changed := self._changed.get(meta.key_of(claim))):
            changed.set()


def _reachable_from(volume: PersistentVolume, table: NodeTable) -> Bools:
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return np.ones(len(table.names), np.bool_)
    return rows_selected(affinity.required, table)


def is_bound(claim: PersistentVolumeClaim) -> bool:
    return bool(claim.spec.volume_name) and claim.status.phase == "Bound"
