"""``emptyDir.sizeLimit`` on disk: a pod that has written more than that into one is evicted.

Checked every few seconds, so a pod may exceed it for a moment. Critical pods are spared, as by every eviction. A volume in
memory is a file system of that size instead.
"""

import asyncio
import logging
from collections.abc import Iterator

from apimachinery import meta, quantity
from apimachinery.core import pods
from apimachinery.types import core_v1
from kube_client import EventRecorder
from kubelet.pods.pod_dirs import PodDirs
from kubelet.pods.status import evicted
from kubelet.pods.worker import PodWorker
from kubelet.pods.workers import PodWorkers
from kubelet.resources.pod_disk import of_tree
from kubelet.volumes.empty_dir import EmptyDir

log = logging.getLogger(__name__)

PERIOD = 10.0
"""Seconds between checks."""


class VolumeLimits:
    """Belongs to the event loop; start ``run`` in the daemon's task group."""

    def __init__(self, workers: PodWorkers, dirs: PodDirs, recorder: EventRecorder, period: float = PERIOD) -> None:
        self._workers, self._dirs, self._recorder, self._period = workers, dirs, recorder, period

    async def run(self) -> None:
        while True:
            for worker in self._workers.active():
                if worker.pod is not None and not worker.has_failed and not pods.is_critical(worker.pod):
                    await self._check(worker, worker.pod)
            await asyncio.sleep(self._period)

    async def _check(self, worker: PodWorker, pod: core_v1.Pod) -> None:
        for name, limit in limits(pod):
            directory = self._dirs.of(worker.uid) / "volumes" / f"kubernetes.io~{EmptyDir.kind}" / name
            if (await asyncio.to_thread(of_tree, directory)).bytes <= quantity.value(limit):
                continue
            message = f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
            log.warning("%s: evicted. %s", meta.key_of(pod), message)
            self._recorder.event(pod, "Warning", "Evicted", message)
            worker.fail(evicted(message))
            return


def limits(pod: core_v1.Pod) -> Iterator[tuple[str, str | int | float]]:
    """Volumes on disk that have a limit."""
    for volume in pod.spec.volumes or ():
        source = volume.empty_dir
        if source is not None and source.size_limit and source.medium != "Memory":
            yield volume.name, source.size_limit
