"""Which pods belong to an owner: it adopts orphans that its selector matches, and releases pods that no longer match.

General over the kind of owner: ReplicationController, ReplicaSet, StatefulSet, DaemonSet, Job. Both writes are patches
bound to the pod's UID, so a pod that was replaced under the same name is never touched.
"""

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from apimachinery import errors, meta
from apimachinery.core.pods import is_active
from apimachinery.meta import Key
from apimachinery.selectors import LabelSelector
from apimachinery.types.core_v1 import Pod
from apimachinery.types.objects import KubeObject
from controller_manager import indexes
from controller_manager.context import ControllerContext
from controller_manager.indexes import BY_CONTROLLER, BY_NAMESPACE, ORPHANS
from kube_client import Expectations, WorkQueue

log = logging.getLogger(__name__)

OwnerT = TypeVar("OwnerT", bound=KubeObject)


class PodAdoption(Generic[OwnerT]):
    """The pods of all owners of one kind."""

    def __init__(
        self,
        context: ControllerContext,
        kind: type[OwnerT],
        selector_of: Callable[[OwnerT], LabelSelector],
        *,
        is_counted: Callable[[Pod], bool] = is_active,
    ) -> None:
        """
        Args:
            kind: the type of the owners.
            selector_of: which pods an owner selects.
            is_counted: which pods count as an owner's at all; a Job's do after their end, too.
        """
        self._selector_of, self._is_counted = selector_of, is_counted
        self._owners_api, self._pods_api = context.client.resource(kind), context.client.resource(Pod)
        self._owners = context.informer(kind, indexes={BY_NAMESPACE: indexes.namespace_of})
        self._pods = context.informer(Pod, indexes={BY_CONTROLLER: indexes.controller_of, ORPHANS: indexes.orphan_of})

    def feed(self, queue: WorkQueue[Key], expectations: Expectations) -> None:
        """Add an owner's key to the queue when one of its pods changes, or an orphan appears that it selects.

        ``expectations`` are informed of each change first.
        """

        def on_pod(old: Pod | None, new: Pod | None) -> None:
            before, after = (self.owner_key(pod) if pod is not None else None for pod in (old, new))
            for key in {key for key in (before, after) if key is not None}:
                expectations.observe(key, old if before == key else None, new)
                queue.add(key)
            pod = new or old
            if pod is not None and meta.controller_of(pod) is None and self._is_counted(pod):
                for owner in self._owners.by_index(BY_NAMESPACE, meta.namespace_of(pod)):
                    if self._selector_of(owner).matches(meta.labels_of(pod)):
                        queue.add(meta.key_of(owner))

        self._pods.on_change(on_pod)

    def owner_key(self, pod: Pod) -> Key | None:
        """The key of the pod's managing owner, if that is of this kind."""
        reference = meta.controller_of(pod)
        served_as = self._owners_api.scheme
        if reference is None or reference.kind != served_as.kind:
            return None
        group = reference.api_version.rpartition("/")[0]
        return Key(meta.namespace_of(pod), reference.name) if group == served_as.group else None

    async def pods_of(self, owner: OwnerT) -> list[Pod]:
        """The owner's pods that count, after adoption and release; one that is being deleted does neither."""
        selector = self._selector_of(owner)
        is_going = meta.is_being_deleted(owner)
        pods = []
        for pod in self._pods.by_index(BY_CONTROLLER, meta.uid_of(owner)):
            if not self._is_counted(pod):
                continue
            if selector.matches(meta.labels_of(pod)):
                pods.append(pod)
            elif not is_going:
                await self._release(owner, pod)
        if is_going:
            return pods
        orphans = [
            pod
            for pod in self._pods.by_index(ORPHANS, meta.namespace_of(owner))
            if self._is_counted(pod) and not meta.is_being_deleted(pod) and selector.matches(meta.labels_of(pod))
        ]
        if orphans and await self._may_adopt(owner):
            pods += [pod for pod in orphans if await self._adopt(owner, pod)]
        return pods

    async def _may_adopt(self, owner: OwnerT) -> bool:
        """Ask the server: a cache that does not show the owner's deletion yet would adopt what was just orphaned."""
        namespace, name = meta.key_of(owner)
        try:
            current = await self._owners_api.get(name, namespace=namespace)
        except errors.NotFound:
            return False
        return meta.uid_of(current) == meta.uid_of(owner) and not meta.is_being_deleted(current)

    async def _adopt(self, owner: OwnerT, pod: Pod) -> bool:
        if not await self._patch_owners(pod, meta.owner_reference(owner)):
            return False
        log.info("%s: adopted pod %s", meta.key_of(owner), meta.key_of(pod))
        return True

    async def _release(self, owner: OwnerT, pod: Pod) -> None:
        if await self._patch_owners(pod, {"$patch": "delete", "uid": meta.uid_of(owner)}):
            log.info("%s: released pod %s", meta.key_of(owner), meta.key_of(pod))

    async def _patch_owners(self, pod: Pod, reference: object) -> bool:
        """False if the pod is gone, or has a controller already."""
        patch = {"metadata": {"uid": meta.uid_of(pod), "ownerReferences": [reference]}}
        try:
            await self._pods_api.patch(meta.name_of(pod), patch, namespace=meta.namespace_of(pod))
        except (errors.NotFound, errors.Invalid):
            return False
        return True
