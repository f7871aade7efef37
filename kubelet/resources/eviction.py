"""Eviction: when the node runs out of memory or disk, pods are ended one by one before the kernel does it at random.

First whatever costs nobody anything is taken back (dead containers, unused images). Then the pod goes that uses most
of what is short beyond its request for it, of the lowest priority first; static and critical pods never. The pressure
shows as a condition of the node, which the control plane turns into a taint, and stays for a while after it has gone,
lest it flap.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence

from apimachinery import meta
from apimachinery.types import core_v1
from kube_client import EventRecorder
from kubelet.pods import admission
from kubelet.pods.pod_dirs import PodDirs
from kubelet.pods.status import End, evicted
from kubelet.pods.worker import PodWorker
from kubelet.pods.workers import PodWorkers
from kubelet.resources import usage
from kubelet.resources.container_gc import remove_expendable
from kubelet.resources.image_gc import ImageCollector
from kubelet.resources.pod_disk import usage_by_pod
from kubelet.resources.stats import Stats
from kubelet.resources.thresholds import CONDITIONS, RESOURCES, Level, Shortage, Threshold, shortages
from kubelet.runtime import Runtime
from kubelet.runtime.errors import EngineError

log = logging.getLogger(__name__)

PERIOD = 10.0
"""Seconds between looks."""

TRANSITION = 300.0
"""Seconds for which a condition stays after the pressure has gone."""

CRITICAL = 2_000_000_000
"""Priority from which a pod is never evicted."""


_MEMORY_TAINT = "node.kubernetes.io/memory-pressure"


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
        transition: float = TRANSITION,
    ) -> None:
        self._thresholds = thresholds
        self._workers, self._stats, self._images = workers, stats, images
        self._runtime, self._dirs, self._transition = runtime, dirs, transition
        self._recorder, self._node = recorder, node
        self._seen: dict[str, float] = {}
        self._listener: Callable[[], object] = lambda: None

    @property
    def pressures(self) -> frozenset[str]:
        """Conditions that hold now: MemoryPressure, DiskPressure, PIDPressure."""
        now = time.monotonic()
        return frozenset(name for name, at in self._seen.items() if now - at < self._transition)

    def on_change(self, listener: Callable[[], object]) -> None:
        """``listener`` is called when ``pressures`` changes."""
        self._listener = listener

    async def run(self) -> None:
        before: frozenset[str] = frozenset()
        while True:
            try:
                await self._look()
            except (EngineError, OSError) as exc:
                log.info("eviction: %s; will look again", exc)
            if self.pressures != before:
                before = self.pressures
                log.info("node pressure: %s", ", ".join(sorted(before)) or "none")
                self._listener()
            await asyncio.sleep(PERIOD)

    async def _look(self) -> None:
        short = shortages(self._thresholds, await self._levels())
        for one in short:
            self._seen[CONDITIONS[one.threshold.signal]] = time.monotonic()
        if not short:
            return
        worst = short[0]
        if (node := self._node()) is not None:
            what = f"Attempting to reclaim {RESOURCES[worst.threshold.signal]}"
            self._recorder.event(node, "Warning", "EvictionThresholdMet", what)
        if CONDITIONS[worst.threshold.signal] == "DiskPressure" and await self._reclaim_disk():
            return  # the next look tells whether that was enough
        await self._evict(worst)

    async def _reclaim_disk(self) -> bool:
        """Whether anything could be had without ending a pod."""
        living = {one.uid for one in self._workers.active()}
        removed = await remove_expendable(self._runtime, living)
        return bool(await self._images.free_all() or removed)

    async def _levels(self) -> Mapping[str, Level]:
        memory = await asyncio.to_thread(usage.machine_memory)
        processes = await asyncio.to_thread(usage.machine_processes)
        node = await asyncio.to_thread(os.statvfs, self._dirs.root)
        images = await self._images.disk()
        return {
            "memory.available": Level(*memory),
            "nodefs.available": Level(node.f_blocks * node.f_frsize, node.f_bavail * node.f_frsize),
            "nodefs.inodesFree": Level(node.f_files, node.f_ffree),
            "imagefs.available": Level(images.capacity, images.capacity - images.used),
            "pid.available": Level(*processes),
        }

    async def _evict(self, short: Shortage) -> None:
        """End the pod that should go first. One that is ending already is waited for."""
        active = [one for one in self._workers.active() if one.pod is not None and not is_spared(one.pod)]
        if any(one.is_ending for one in active):
            return
        signal = short.threshold.signal
        used = await self._used(signal, [one.uid for one in active])
        ranked = sorted(active, key=lambda one: rank(_pod(one), used.get(one.uid, 0), signal))
        if ranked:
            log.warning("%s: evicted. %s", ranked[0].name, short.message)
            self._recorder.event(_pod(ranked[0]), "Warning", "Evicted", short.message)
            ranked[0].end(evicted(short.message))

    async def _used(self, signal: str, uids: Sequence[str]) -> Mapping[str, int]:
        """What each pod uses of what the signal is about."""
        if signal == "memory.available":
            await self._stats.sample()
            found = {uid: self._stats.usage_of_pod(uid) for uid in uids}
            return {uid: one.working_set for uid, one in found.items() if one is not None}
        if signal == "pid.available":
            pids = {uid: [one.pid for one in self._runtime.containers.of_pod(uid) if one.running] for uid in uids}
            return {uid: sum(map(usage.processes, members)) for uid, members in pids.items()}
        disks = await usage_by_pod(self._runtime, self._dirs, uids)
        return {uid: one.inodes if signal == "nodefs.inodesFree" else one.bytes for uid, one in disks.items()}


def rank(pod: core_v1.Pod, used: int, signal: str) -> tuple[bool, int, int]:
    """Sorts pods by who goes first: beyond its request for what is short, low priority, far beyond it."""
    asked = int(admission.requests(pod).get(RESOURCES[signal], 0))
    beyond = used - asked
    return beyond <= 0, pod.spec.priority or 0, -beyond


def is_spared(pod: core_v1.Pod) -> bool:
    """Pods that nothing but their owner ends."""
    critical = (pod.spec.priority or 0) >= CRITICAL
    return critical or "kubernetes.io/config.mirror" in meta.annotations_of(pod)


def refusal(pod: core_v1.Pod, pressures: frozenset[str], best_effort: bool) -> End | None:
    """Why a node under pressure takes no such pod, or None.

    Memory alone is refused only to pods that ask for none; and not to those that tolerate the taint.
    """
    spared = not best_effort or any(_tolerates_memory_pressure(one) for one in pod.spec.tolerations or ())
    blocking = pressures - {"MemoryPressure"} if spared and pressures == {"MemoryPressure"} else pressures
    if not blocking or is_spared(pod):
        return None
    return End("Evicted", f"Pod was rejected: The node had condition: [{' '.join(sorted(blocking))}]. ")


def _tolerates_memory_pressure(toleration: core_v1.Toleration) -> bool:
    effect = toleration.effect in (None, "", "NoSchedule")
    if not toleration.key:
        return effect and toleration.operator == "Exists"
    return effect and toleration.key == _MEMORY_TAINT and (toleration.operator == "Exists" or not toleration.value)


def _pod(worker: PodWorker) -> core_v1.Pod:
    assert worker.pod is not None, "only workers with a pod are ranked"
    return worker.pod
