"""All pods of this node: a worker for each, whether the API has it or only the engine or the disk does.

Nothing is decided before the sources are complete: the pods bound to this node, the services that their environment
variables describe, and the containers that are here already. Only static pods start without an apiserver. Then running
containers are adopted, and what belongs to no pod is removed, containers and directories alike.
"""

import asyncio
import logging
from collections.abc import Callable

from apimachinery import meta
from apimachinery.core import containers, well_known
from apimachinery.core import pods as core_pods
from apimachinery.types import core_v1
from kube_client import Informer, wait_for_sync
from kubelet.node.pressures import NodePressures
from kubelet.pods import admission, sysctls
from kubelet.pods.static_pods import StaticPods
from kubelet.pods.worker import Dependencies, PodWorker

log = logging.getLogger(__name__)

HOUSEKEEPING = 30.0
"""Seconds between searches for containers and directories that belong to no pod."""


class PodWorkers:
    """Belongs to the event loop; ``run`` owns the workers' tasks."""

    def __init__(
        self,
        pods: Informer[core_v1.Pod],
        services: Informer[core_v1.Service],
        shared: Dependencies,
        node: Callable[[], core_v1.Node | None],
        pressures: NodePressures,
        static: StaticPods | None = None,
    ) -> None:
        """``node`` is this node's object as last seen."""
        self._pods = pods
        self._services = services
        self._shared = shared
        self._node, self._pressures = node, pressures
        self._static = static
        self._workers: dict[str, PodWorker] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def pods(self) -> list[core_v1.Pod]:
        """The pods that the API has on this node."""
        return self._pods.list()

    def find(self, namespace: str, name: str) -> core_v1.Pod | None:
        """The pod that runs here under that name; for a mirror pod the static one that it represents."""
        key = meta.Key(namespace, name)
        pod = self._pods.get(key)
        if self._static is not None and (pod is None or core_pods.is_mirror(pod)):
            return next((static for static in self._static.pods.values() if meta.key_of(static) == key), None)
        return pod

    def images(self) -> set[str]:
        """Of all containers of pods here, including those that are about to be created.

        A pod whose containers have run for the last time needs its images no more.
        """
        of_workers = [worker.pod for worker in self._workers.values() if worker.pod is not None]
        unfinished = [pod for pod in (*self._pods.list(), *of_workers) if not core_pods.is_terminal(pod)]
        return {container.image or "" for pod in unfinished for container in containers.all_containers(pod)}

    def active(self) -> list[PodWorker]:
        """Those whose pods take part of the node's resources."""
        return [worker for worker in self._workers.values() if worker.is_active]

    def wake_all(self) -> None:
        """Something that all pods may wait for has changed."""
        for worker in self._workers.values():
            worker.wake()

    async def run(self) -> None:
        """Until cancelled. Containers are left as they are then."""
        await self._shared.runtime.containers.synced.wait()
        self._shared.dirs.prepare()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._shared.runtime.containers.on_change(self._on_container)
            self._shared.runtime.images.on_change(self._on_container)
            if self._static is not None:  # these do not wait for an apiserver: it may be one of them
                self._static.on_change(self._on_static)
                await self._static.read()
                tasks.create_task(self._static.run(), name="static-pods")
            await wait_for_sync(self._pods)
            await wait_for_sync(self._services)
            self._pods.on_change(self._on_pod)
            log.info("%d pods bound to this node, %d present on it", len(self._pods), len(self._present()))
            while True:
                self._adopt_orphans()
                await asyncio.sleep(HOUSEKEEPING)

    def _on_static(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        if new is not None and meta.uid_of(new) not in self._workers:
            self._start_worker(meta.uid_of(new), new)
        elif old is not None and (worker := self._workers.get(meta.uid_of(old))):
            worker.gone()

    def _on_pod(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        if (pod := new or old) is not None and core_pods.is_mirror(pod):
            self._on_container(meta.annotations_of(pod)[well_known.MIRROR_ANNOTATION])  # the status goes to the mirror
        elif new is not None:
            uid = meta.uid_of(new)
            worker = self._workers.get(uid)
            if worker is None:
                self._start_worker(uid, new)
            else:
                worker.update(new)
        elif old is not None and (worker := self._workers.get(meta.uid_of(old))):
            worker.gone()
            if worker.finished:
                del self._workers[worker.uid]

    def _on_container(self, uid: str) -> None:
        if worker := self._workers.get(uid):
            worker.wake()

    def _present(self) -> set[str]:
        """UIDs of the pods that have a container or a directory here."""
        return {*self._shared.runtime.containers.pod_uids(), *self._shared.dirs.uids()}

    def _adopt_orphans(self) -> None:
        """A worker for each pod of which only containers or a directory are left; it removes them."""
        for uid in self._present():
            if uid not in self._workers:
                log.info("pod %s: not bound to this node any more, removing what is left", uid)
                self._start_worker(uid, None)

    def _start_worker(self, uid: str, pod: core_v1.Pod | None) -> None:
        assert self._tasks is not None, "workers are started in run()"
        worker = PodWorker(uid, pod, self._shared, self._tasks)
        if pod is not None and self._is_new(pod) and (self._static is None or uid not in self._static.pods):
            self._admit(pod, worker)
        self._workers[uid] = worker
        self._tasks.create_task(self._run_worker(worker), name=f"pod {worker.name}")

    def _is_new(self, pod: core_v1.Pod) -> bool:
        """Whether it has to be admitted: what runs here, or has run, was admitted before."""
        started = pod.status.start_time or self._shared.runtime.containers.of_pod(meta.uid_of(pod))
        return not started and not meta.is_being_deleted(pod)

    def _admit(self, pod: core_v1.Pod, worker: PodWorker) -> None:
        others, node = [other.pod for other in self.active() if other.pod is not None], self._shared.node
        rejection = (
            admission.rejection_under_pressure(pod, self._pressures.current)
            or sysctls.rejection(pod, node.unsafe_sysctls)
            or admission.rejection(pod, others, self._node(), node.allocatable)
        )
        if rejection is not None:
            log.info("%s: %s", meta.key_of(pod), rejection.message)
            self._shared.events.warning(pod, rejection.reason, rejection.message)
            worker.fail(rejection)

    async def _run_worker(self, worker: PodWorker) -> None:
        """Run a worker, and forget it once the API has removed its pod too.

        Until then a finished worker stays, so that a late event does not start another.
        """
        await worker.run()
        if all(meta.uid_of(pod) != worker.uid for pod in self._pods.list()):
            del self._workers[worker.uid]
