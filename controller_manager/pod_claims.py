"""Which pods belong to a ReplicationController: it adopts orphans that its selector matches, and releases pods of its
own that no longer match.

Both are patches bound to the pod's UID, so a pod that was replaced under the same name is never touched.
"""

import logging

from apimachinery import errors, meta, selectors
from apimachinery.types.core_v1 import Pod, ReplicationController
from controller_manager.informers import BY_CONTROLLER, ORPHANS
from controller_manager.pods import is_active
from kube_client import Client, Informer

log = logging.getLogger(__name__)


class PodClaims:
    def __init__(self, client: Client, pods: Informer[Pod]) -> None:
        self._controllers = client.resource(ReplicationController)
        self._client_pods = client.resource(Pod)
        self._pods = pods

    async def of(self, controller: ReplicationController) -> list[Pod]:
        """The controller's active pods, after adoption and release."""
        selector = selectors.from_map(controller.spec.selector)
        going = meta.is_being_deleted(controller)
        claimed = []
        for pod in self._pods.by_index(BY_CONTROLLER, meta.uid_of(controller)):
            if not is_active(pod):
                continue
            if selector.matches(meta.labels_of(pod)):
                claimed.append(pod)
            elif not going:
                await self._release(controller, pod)
        if going:
            return claimed
        orphans = [
            pod
            for pod in self._pods.by_index(ORPHANS, meta.namespace_of(controller))
            if is_active(pod) and selector.matches(meta.labels_of(pod))
        ]
        if orphans and await self._may_adopt(controller):
            claimed += [pod for pod in orphans if await self._adopt(controller, pod)]
        return claimed

    async def _may_adopt(self, controller: ReplicationController) -> bool:
        """Ask the server: a cache that has not heard that the controller is going would adopt what was orphaned."""
        namespace, name = meta.key_of(controller)
        try:
            fresh = await self._controllers.get(name, namespace=namespace)
        except errors.NotFound:
            return False
        return meta.uid_of(fresh) == meta.uid_of(controller) and not meta.is_being_deleted(fresh)

    async def _adopt(self, controller: ReplicationController, pod: Pod) -> bool:
        reference = meta.owner_reference(controller)
        patch = {"metadata": {"uid": meta.uid_of(pod), "ownerReferences": [reference]}}
        if not await self._patch(pod, patch):
            return False
        log.info("%s: adopted pod %s", meta.key_of(controller), meta.key_of(pod))
        return True

    async def _release(self, controller: ReplicationController, pod: Pod) -> None:
        removal = {"$patch": "delete", "uid": meta.uid_of(controller)}
        if await self._patch(pod, {"metadata": {"uid": meta.uid_of(pod), "ownerReferences": [removal]}}):
            log.info("%s: released pod %s", meta.key_of(controller), meta.key_of(pod))

    async def _patch(self, pod: Pod, patch: object) -> bool:
        """False if the pod is not there any more, or has a controller already."""
        try:
            await self._client_pods.patch(meta.name_of(pod), patch, namespace=meta.namespace_of(pod))
        except (errors.NotFound, errors.Invalid):
            return False
        return True
