"""Eviction: when the node runs out of memory or disk, pods are ended one by one before the kernel does it at random.

First whatever is not needed is reclaimed (dead containers, unused images). Then the pod is evicted that exceeds its
request for the scarce resource most, those of the lowest priority first; critical pods never. The next one is not chosen
before the last has given back what it had. The pressure is reported as a condition of the node, which the control plane
turns into a taint.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence

from apimachinery.core import pod_resources, pods
from apimachinery.types import core_v1
from kube_client import EventRecorder
from kubelet.node.pressures import NodePressures
from kubelet.pods.pod_dirs import PodDirs
from kubelet.pods.status import evicted
from kubelet.pods.worker import PodWorker
from kubelet.pods.workers import PodWorkers
from kubelet.resources import usage
from kubelet.resources.container_gc import remove_expendable
from kubelet.resources.image_gc import ImageCollector
from kubelet.resources.pod_disk import usage_by_pod
from kubelet.resources.stats import Stats
from kubelet.resources.thresholds import CONDITIONS, MEMORY_SIGNAL, RESOURCES, Level, Shortage, Threshold, shortages
from kubelet.runtime import Runtime
from kubelet.runtime.errors import EngineError

log = logging.getLogger(__name__)

PERIOD = 10.0
"""Seconds between passes."""

CLEANUP = 30.0
"""Seconds that an evicted pod may take to end and to give up its volumes; Kubernetes' ``podCleanupTimeout``."""


class Evictor:
    """Belongs to the event loop; start ``run`` in the daemon's task group."""

    def __init__(
        self,
        thresholds: Sequence[Threshold],
        workers: PodWorkers,
        stats: Stats,
        images: ImageCollector,
        runtime: Runtime,
        dirs: PodDirs,
        recorder: EventRecorder,
        node: Callable[[], core_v1.Node | None],
        pressures: NodePressures,
    ) -> None:
        self._thresholds = thresholds
        self._workers, self._stats, self._images = workers, stats, images
        self._runtime, self._dirs = runtime, dirs
        self._recorder, self._node, self._pressures = recorder, node, pressures

    async def run(self) -> None:
        while True:
            try:
                evicted = await self._synchronize()
                if evicted is not None:
                    await self._cleaned_up(evicted)
            except (EngineError, OSError) as exc:
                log.info("eviction: %s; will retry", exc)
                self._pressures.observe(())
            await asyncio.sleep(PERIOD)

    async def _synchronize(self) -> PodWorker | None:
        """One pass; the pod that was evicted, if one was."""
        scarce = shortages(self._thresholds, await self._levels())
        self._pressures.observe(CONDITIONS[shortage.threshold.signal] for shortage in scarce)
        if not scarce:
            return None
        worst = scarce[0]
        if (node := self._node()) is not None:
            message = f"Attempting to reclaim {RESOURCES[worst.threshold.signal]}"
            self._recorder.event(node, "Warning", "EvictionThresholdMet", message)
        if CONDITIONS[worst.threshold.signal] == "DiskPressure" and await self._reclaim_disk():
            return None  # the next pass finds out whether that was enough
        return await self._evict(worst)

    async def _cleaned_up(self, worker: PodWorker) -> None:
        try:
            async with asyncio.timeout(CLEANUP):
                await worker.gave_up_volumes.wait()
        except TimeoutError:
            log.warning("%s: evicted, and has not ended within %.0f s", worker.name, CLEANUP)

    async def _reclaim_disk(self) -> bool:
        """Whether anything could be reclaimed without ending a pod."""
        unfinished = {worker.uid for worker in self._workers.active()}
        removed = await remove_expendable(self._runtime, unfinished)
        return bool(await self._images.free_all() or removed)

    async def _levels(self) -> Mapping[str, Level]:
        memory = await asyncio.to_thread(usage.machine_memory)
        processes = await asyncio.to_thread(usage.machine_processes)
        node = await asyncio.to_thread(os.statvfs, self._dirs.root)
        images = await self._images.disk()
        return {
            MEMORY_SIGNAL: Level(*memory),
            "nodefs.available": Level(node.f_blocks * node.f_frsize, node.f_bavail * node.f_frsize),
            "nodefs.inodesFree": Level(node.f_files, node.f_ffree),
            "imagefs.available": Level(images.capacity, images.capacity - images.used),
            "pid.available": Level(*processes),
        }

    async def _evict(self, shortage: Shortage) -> PodWorker | None:
        """End the pod that ranks first, of those that do not end by the kubelet's decision already."""
        candidates = {worker.uid: worker for worker in self._workers.active() if not worker.has_failed}
        by_uid = {
            uid: worker.pod for uid, worker in candidates.items() if worker.pod and not pods.is_critical(worker.pod)
        }
        if not by_uid:
            return None
        signal = shortage.threshold.signal
        used = await self._used(signal, [*by_uid])
        first = min(by_uid, key=lambda uid: rank(by_uid[uid], used.get(uid, 0), signal))
        log.warning("%s: evicted. %s", candidates[first].name, shortage.message)
        self._recorder.event(by_uid[first], "Warning", "Evicted", shortage.message)
        candidates[first].fail(evicted(shortage.message))
        return candidates[first]

    async def _used(self, signal: str, uids: Sequence[str]) -> Mapping[str, int]:
        """What each pod uses of the resource that the signal measures."""
        if signal == MEMORY_SIGNAL:
            await self._stats.sample()
            usages = {uid: self._stats.usage_of_pod(uid) for uid in uids}
            return {uid: pod_usage.working_set for uid, pod_usage in usages.items() if pod_usage is not None}
        if signal == "pid.available":
            records = {uid: self._runtime.containers.of_pod(uid) for uid in uids}
            return {uid: sum(usage.processes(r.pid) for r in of_pod if r.running) for uid, of_pod in records.items()}
        disks = await usage_by_pod(self._runtime, self._dirs, uids)
        return {uid: disk.inodes if signal == "nodefs.inodesFree" else disk.bytes for uid, disk in disks.items()}


def rank(pod: core_v1.Pod, used: int, signal: str) -> tuple[bool, int, int]:
    """Sort key, first to be evicted first: pods above their request, then low priority, then the excess."""
    excess = used - pod_resources.requests(pod).get(RESOURCES[signal], 0)
    return excess <= 0, pod.spec.priority or 0, -excess
