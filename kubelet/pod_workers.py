"""All pods of this node: a worker for each, whether the API has it or only the engine or the disk does.

Nothing is decided before the sources are complete: the pods bound to this node, the services that their environment
tells of, and the containers that are here already. Then running containers are adopted, and what belongs to no pod
is removed, containers and directories alike.
"""

import asyncio
import logging

from apimachinery import meta
from apimachinery.types import core_v1
from kube_client import Informer, wait_for_sync
from kubelet.pod_worker import Parts, PodWorker

log = logging.getLogger(__name__)

HOUSEKEEPING = 30.0
"""Seconds between looks for what belongs to no pod."""


class PodWorkers:
    """Belongs to the event loop; ``run`` owns the workers' tasks."""

    def __init__(self, pods: Informer[core_v1.Pod], services: Informer[core_v1.Service], parts: Parts) -> None:
        self._pods = pods
        self._services = services
        self._parts = parts
        self._workers: dict[str, PodWorker] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def pods(self) -> list[core_v1.Pod]:
        """The pods that the API has on this node."""
        return self._pods.list()

    def find(self, namespace: str, name: str) -> core_v1.Pod | None:
        return self._pods.get(meta.Key(namespace, name))

    def wake_all(self) -> None:
        """Something that all pods wait for has changed."""
        for worker in self._workers.values():
            worker.wake()

    async def run(self) -> None:
        """Until cancelled. Containers are left as they are then."""
        await wait_for_sync(self._pods)
        await wait_for_sync(self._services)
        await self._parts.runtime.containers.synced.wait()
        self._parts.dirs.prepare()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._pods.on_change(self._on_pod)
            self._parts.runtime.containers.on_change(self._on_container)
            self._parts.runtime.images.on_change(self._on_container)
            log.info("%d pods bound to this node, %d found", len(self._pods), len(self._known_here()))
            while True:
                self._adopt_unknown()
                await asyncio.sleep(HOUSEKEEPING)

    def _on_pod(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        if new is not None:
            uid = meta.uid_of(new)
            worker = self._workers.get(uid)
            if worker is None:
                self._begin(uid, new)
            else:
                worker.update(new)
        elif old is not None and (worker := self._workers.get(meta.uid_of(old))):
            worker.gone()
            if worker.finished:
                del self._workers[worker.uid]

    def _on_container(self, uid: str) -> None:
        if worker := self._workers.get(uid):
            worker.wake()

    def _known_here(self) -> set[str]:
        return {*self._parts.runtime.containers.pod_uids(), *self._parts.dirs.uids()}

    def _adopt_unknown(self) -> None:
        """Containers and directories of pods that the API has no more: a worker each, which removes them."""
        for uid in self._known_here():
            if uid not in self._workers:
                log.info("pod %s: not bound to this node any more, removing what is left", uid)
                self._begin(uid, None)

    def _begin(self, uid: str, pod: core_v1.Pod | None) -> None:
        assert self._tasks is not None, "workers are made in run()"
        worker = self._workers[uid] = PodWorker(uid, pod, self._parts)
        self._tasks.create_task(self._work(worker), name=f"pod {worker.name}")

    async def _work(self, worker: PodWorker) -> None:
        """Run a worker, and forget it when both it and the API have done with the pod.

        A finished worker stays while the API still shows its pod, lest a late event begin another.
        """
        await worker.run()
        if all(meta.uid_of(pod) != worker.uid for pod in self._pods.list()):
            del self._workers[worker.uid]
