"""All pods of this node: a worker for each, whether the API has it or only the engine or the disk does.

Nothing is decided before the sources are complete: the pods bound to this node, the services that their environment
tells of, and the containers that are here already. Only static pods begin without an apiserver. Then running
containers are adopted, and what belongs to no pod is removed, containers and directories alike.
"""

import asyncio
import logging
from collections.abc import Callable

from apimachinery import meta
from apimachinery.core import containers
from apimachinery.types import core_v1
from kube_client import Informer, wait_for_sync
from kubelet.pods import admission, sysctls
from kubelet.pods.static_pods import MIRROR, StaticPods, is_mirror
from kubelet.pods.status import End
from kubelet.pods.worker import Parts, PodWorker

log = logging.getLogger(__name__)

HOUSEKEEPING = 30.0
"""Seconds between looks for what belongs to no pod."""


class PodWorkers:
    """Belongs to the event loop; ``run`` owns the workers' tasks."""

    def __init__(
        self,
        pods: Informer[core_v1.Pod],
        services: Informer[core_v1.Service],
        parts: Parts,
        node: Callable[[], core_v1.Node | None],
        static: StaticPods | None = None,
    ) -> None:
        """``node`` is this node's object as last seen."""
        self._pods = pods
        self._services = services
        self._parts = parts
        self._under_pressure: Callable[[core_v1.Pod], End | None] = lambda pod: None
        self._node = node
        self._static = static
        self._workers: dict[str, PodWorker] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def refuse_under_pressure(self, check: Callable[[core_v1.Pod], End | None]) -> None:
        """``check`` says why a pod cannot be taken now."""
        self._under_pressure = check

    def pods(self) -> list[core_v1.Pod]:
        """The pods that the API has on this node."""
        return self._pods.list()

    def find(self, namespace: str, name: str) -> core_v1.Pod | None:
        """The pod that runs here under that name; for a mirror pod the static one that it shows."""
        found = self._pods.get(meta.Key(namespace, name))
        if self._static is not None and (found is None or is_mirror(found)):
            static = [one for one in self._static.pods.values() if meta.key_of(one) == (namespace, name)]
            return static[0] if static else None
        return found

    def images(self) -> set[str]:
        """What containers of pods here are made from, those included that are about to be created.

        What has run for the last time needs its image no more.
        """
        everyone = [*self._pods.list(), *(one.pod for one in self._workers.values() if one.pod is not None)]
        pods = [pod for pod in everyone if pod.status.phase not in ("Succeeded", "Failed")]
        return {one.image or "" for pod in pods for one in containers.all_containers(pod)}

    def active(self) -> list[PodWorker]:
        """Those whose pods take part of the node's resources."""
        return [one for one in self._workers.values() if one.is_active]

    def wake_all(self) -> None:
        """Something that all pods wait for has changed."""
        for worker in self._workers.values():
            worker.wake()

    async def run(self) -> None:
        """Until cancelled. Containers are left as they are then."""
        await self._parts.runtime.containers.synced.wait()
        self._parts.dirs.prepare()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._parts.runtime.containers.on_change(self._on_container)
            self._parts.runtime.images.on_change(self._on_container)
            if self._static is not None:  # these do not wait for an apiserver: it may be one of them
                self._static.on_change(self._on_static)
                await self._static.look()
                tasks.create_task(self._static.run(), name="static-pods")
            await wait_for_sync(self._pods)
            await wait_for_sync(self._services)
            self._pods.on_change(self._on_pod)
            log.info("%d pods bound to this node, %d found", len(self._pods), len(self._known_here()))
            while True:
                self._adopt_unknown()
                await asyncio.sleep(HOUSEKEEPING)

    def _on_static(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        if new is not None and meta.uid_of(new) not in self._workers:
            self._begin(meta.uid_of(new), new)
        elif old is not None and (worker := self._workers.get(meta.uid_of(old))):
            worker.gone()

    def _on_pod(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        if (subject := new or old) is not None and is_mirror(subject):
            self._on_container(meta.annotations_of(subject)[MIRROR])  # its worker has a status to show
        elif new is not None:
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
        worker = PodWorker(uid, pod, self._parts, self._tasks)
        if pod is not None and self._is_new(pod) and (self._static is None or uid not in self._static.pods):
            self._admit(pod, worker)
        self._workers[uid] = worker
        self._tasks.create_task(self._work(worker), name=f"pod {worker.name}")

    def _is_new(self, pod: core_v1.Pod) -> bool:
        """Whether this node has not begun with it: what runs here, or has run, is not asked for admission again."""
        begun = pod.status.start_time or self._parts.runtime.containers.of_pod(meta.uid_of(pod))
        return not begun and not meta.is_being_deleted(pod)

    def _admit(self, pod: core_v1.Pod, worker: PodWorker) -> None:
        others = [one.pod for one in self.active() if one.pod is not None]
        refused = self._under_pressure(pod) or sysctls.refusal(pod, self._parts.node.unsafe_sysctls)
        refused = refused or admission.refusal(pod, others, self._node(), self._parts.node.allocatable())
        if refused is not None:
            log.info("%s: %s", meta.key_of(pod), refused.message)
            self._parts.recorder.event(pod, "Warning", refused.reason, refused.message)
            worker.end(refused)

    async def _work(self, worker: PodWorker) -> None:
        """Run a worker, and forget it when both it and the API have done with the pod.

        A finished worker stays while the API still shows its pod, lest a late event begin another.
        """
        await worker.run()
        if all(meta.uid_of(pod) != worker.uid for pod in self._pods.list()):
            del self._workers[worker.uid]
