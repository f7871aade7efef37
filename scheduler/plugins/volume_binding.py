"""Persistent volume claims: a pod waits for what it cannot do without, and goes where its volumes can be reached.

A claim of a class that binds at once must be bound before the pod is looked at. One of a class that waits for its
first consumer is given a volume here, of those that the chosen node can reach; the controller of volumes finishes the
binding, and the pod is bound after that. Where volumes are made on demand, the claim is told the node instead.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

import numpy as np

from apimachinery import codec, errors, meta
from apimachinery.core.persistent_volumes import best_match, class_of, matches, reference
from apimachinery.meta import Key
from apimachinery.types.core_v1 import PersistentVolume, PersistentVolumeClaim
from kube_client import Client
from scheduler.columns import Bools, Ints, NodeTable
from scheduler.framework import Storage, Unschedulable
from scheduler.plugins.node_affinity import node_is_selected, selected
from scheduler.pod_info import PodInfo

BIND_SECONDS: Final = 60.0
_BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
_SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
_IN_TREE: Final = "kubernetes.io/"

_AWAY: Final = "node(s) didn't match PersistentVolume's node affinity"
_NONE: Final = "node(s) didn't find available persistent volumes to bind"


class VolumeBinding:
    name = "VolumeBinding"

    def __init__(self, client: Client, storage: Storage) -> None:
        self._client_volumes = client.resource(PersistentVolume)
        self._client_claims = client.resource(PersistentVolumeClaim)
        self._claims, self._volumes, self._classes = storage.claims, storage.volumes, storage.classes
        self._nodes = storage.nodes
        self._changed: dict[Key, asyncio.Event] = {}
        self._claims.on_change(self._on_claim)

    def filter(self, pod: PodInfo, table: NodeTable) -> Bools | None:
        if not (claims := self._claims_of(pod, table)):
            return None
        passed = np.ones(len(table.names), np.bool_)
        for claim in claims:
            passed &= self._reachable(claim, table)
        return passed

    def reasons(self, pod: PodInfo, table: NodeTable, rejected: Ints) -> Iterator[str]:
        claims = self._claims_of(pod, table)
        bound = np.ones(len(table.names), np.bool_)
        for claim in (one for one in claims if one.spec.volume_name):
            bound &= self._reachable(claim, table)
        for row in rejected.tolist():
            yield _NONE if bound[row] else _AWAY

    async def pre_bind(self, pod: PodInfo, node: str) -> None:
        """Return once all claims are bound."""
        for key in claim_keys(pod):
            claim = self._claims.get(key)
            if claim is None:
                raise errors.not_found("persistentvolumeclaims", "", key.name)
            if not is_bound(claim):
                await self._choose(claim, node)
                await self._until_bound(key)

    def _claims_of(self, pod: PodInfo, table: NodeTable) -> list[PersistentVolumeClaim]:
        """The pod's claims. Raises Unschedulable where it has to wait for one."""
        found = []
        for key in claim_keys(pod):
            claim = self._claims.get(key)
            why = ""
            if claim is None:
                why = f'persistentvolumeclaim "{key.name}" not found'
            elif claim.status.phase == "Lost":
                why = f'persistentvolumeclaim "{key.name}" bound to non-existent persistentvolume "{claim.spec.volume_name}"'
            elif meta.is_being_deleted(claim):
                why = f'persistentvolumeclaim "{key.name}" is being deleted'
            elif not is_bound(claim) and not self._waits(claim):
                why = "pod has unbound immediate PersistentVolumeClaims"
            if why or claim is None:
                raise Unschedulable(f"0/{len(table)} nodes are available: {why}.")
            found.append(claim)
        return found

    def _waits(self, claim: PersistentVolumeClaim) -> bool:
        found = self._classes.get(Key("", class_of(claim)))
        return found is not None and found.volume_binding_mode == "WaitForFirstConsumer"

    def _is_provisioned(self, claim: PersistentVolumeClaim) -> bool:
        """Whether somebody makes volumes of the claim's class."""
        found = self._classes.get(Key("", class_of(claim)))
        return found is not None and not found.provisioner.startswith(_IN_TREE)

    def _reachable(self, claim: PersistentVolumeClaim, table: NodeTable) -> Bools:
        """The rows from which the claim's volume, or one that it could have, can be used."""
        everywhere = np.ones(len(table.names), np.bool_)
        if claim.spec.volume_name:
            volume = self._volumes.get(Key("", claim.spec.volume_name))
            return everywhere if volume is None else _reach(volume, table, everywhere)
        if self._is_provisioned(claim):
            return everywhere
        rows = np.zeros(len(table.names), np.bool_)
        for volume in self._volumes.list():
            if matches(volume, claim):
                rows |= _reach(volume, table, everywhere)
        return rows

    async def _choose(self, claim: PersistentVolumeClaim, node: str) -> None:
        """Reserve the smallest volume that the node can reach, or say where one should be made."""
        fits = [one for one in self._volumes.list() if self._is_reached(one, node)]
        volume = best_match(claim, fits)
        if volume is not None and volume.spec.claim_ref is None:
            changed = codec.copy(volume)
            changed.spec.claim_ref = reference(claim)
            changed.metadata.annotations = {**meta.annotations_of(volume), _BOUND_BY_CONTROLLER: "yes"}
            await self._client_volumes.update(changed)  # a Conflict if another claim was faster
        elif volume is None and self._is_provisioned(claim):
            namespace, name = meta.key_of(claim)
            patch = {"metadata": {"uid": meta.uid_of(claim), "annotations": {_SELECTED_NODE: node}}}
            await self._client_claims.patch(name, patch, namespace=namespace, kind="merge")
        elif volume is None:
            raise errors.conflict(
                "persistentvolumeclaims", "", meta.name_of(claim), f"no volume on {node} is left for it"
            )

    def _is_reached(self, volume: PersistentVolume, node: str) -> bool:
        affinity = volume.spec.node_affinity
        if affinity is None or affinity.required is None:
            return True
        found = self._nodes.get(Key("", node))
        return found is not None and node_is_selected(affinity.required, found)

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
        one = new or old
        if one is not None and (changed := self._changed.get(meta.key_of(one))):
            changed.set()


def _reach(volume: PersistentVolume, table: NodeTable, everywhere: Bools) -> Bools:
    affinity = volume.spec.node_affinity
    return everywhere if affinity is None or affinity.required is None else selected(affinity.required, table)


def is_bound(claim: PersistentVolumeClaim) -> bool:
    return bool(claim.spec.volume_name) and claim.status.phase == "Bound"


def claim_keys(pod: PodInfo) -> list[Key]:
    """The claims that the pod mounts; an ephemeral volume's is called after pod and volume."""
    found = []
    for volume in pod.pod.spec.volumes or ():
        if volume.persistent_volume_claim is not None:
            found.append(Key(pod.key.namespace, volume.persistent_volume_claim.claim_name))
        elif volume.ephemeral is not None:
            found.append(Key(pod.key.namespace, f"{pod.key.name}-{volume.name}"))
    return found
