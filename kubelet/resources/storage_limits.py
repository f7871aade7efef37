"""Limits of what a pod writes to the node's disk: a pod that exceeds one is evicted.

They are ``emptyDir.sizeLimit``, the ``ephemeral-storage`` limit of each container (its logs and the layer it writes), and
that of the whole pod (all containers, and volumes on the node's disk). Rules and messages are those of
``localStorageEviction`` in Kubernetes' pkg/kubelet/eviction.

Checked every few seconds, so a pod may exceed a limit for a moment. Critical pods are spared, as by every eviction. A
volume in memory is a file system of its size instead.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from apimachinery import meta, quantity
from apimachinery.core import pod_resources, pods
from apimachinery.core.pod_resources import EPHEMERAL_STORAGE
from apimachinery.types import core_v1
from apimachinery.types.base import Quantity
from kube_client import EventRecorder
from kubelet.pods.pod_dirs import PodDirs
from kubelet.pods.status import evicted
from kubelet.pods.worker import PodWorker
from kubelet.pods.workers import PodWorkers
from kubelet.resources.pod_disk import DiskUsage, TreeWalk, usage_by_container
from kubelet.runtime import Runtime
from kubelet.runtime.errors import EngineError
from kubelet.volumes.empty_dir import EmptyDir

log = logging.getLogger(__name__)

PERIOD = 10.0
"""Seconds between checks."""

_TURN = 0.5
"""Seconds for which files of one directory are counted before another has its turn."""

_THREADS = 2
"""Directories that are examined at a time."""


class StorageLimits:
    """Belongs to the event loop; start ``run`` in the daemon's task group.

    A pod decides how many files there are to count, so each has its own turn: a directory that is too large for a
    pass is gone on with in the next. A pod whose check takes longer is left out until that has ended.
    """

    def __init__(
        self,
        workers: PodWorkers,
        runtime: Runtime,
        dirs: PodDirs,
        recorder: EventRecorder,
        period: float = PERIOD,
    ) -> None:
        self._workers, self._runtime, self._dirs = workers, runtime, dirs
        self._recorder, self._period = recorder, period
        self._threads = asyncio.Semaphore(_THREADS)
        self._checked: set[str] = set()
        self._walks: dict[str, dict[Path, TreeWalk]] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as checks:
            while True:
                active = [worker for worker in self._workers.active() if _is_limited(worker)]
                uids = {meta.uid_of(worker.pod) for worker in active if worker.pod is not None}
                self._walks = {uid: walks for uid, walks in self._walks.items() if uid in uids}
                for worker in active:
                    if worker.pod is not None and meta.uid_of(worker.pod) not in self._checked:
                        checks.create_task(self._check(worker, worker.pod), name="storage-limits")
                await asyncio.sleep(self._period)

    async def _check(self, worker: PodWorker, pod: core_v1.Pod) -> None:
        uid = meta.uid_of(pod)
        self._checked.add(uid)
        try:
            message = await self._excess_of_volume(pod) or await self._excess(pod)
        except EngineError as exc:
            log.info("%s: disk usage not known: %s; will retry", meta.key_of(pod), exc)
        except Exception:  # of one pod must not stop the checks of others
            log.exception("%s: disk usage not known; will retry", meta.key_of(pod))
        else:
            if message and not worker.has_failed:
                log.warning("%s: evicted. %s", meta.key_of(pod), message)
                self._recorder.event(pod, "Warning", "Evicted", message)
                worker.fail(evicted(message))
        finally:
            self._checked.discard(uid)

    async def _excess_of_volume(self, pod: core_v1.Pod) -> str:
        for name, limit in volume_limits(pod):
            directory = self._volumes_of(pod) / f"kubernetes.io~{EmptyDir.kind}" / name
            if (await self._measure(pod, directory)).bytes > quantity.value(limit):
                return f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
        return ""

    async def _excess(self, pod: core_v1.Pod) -> str:
        if not container_limits(pod):
            return ""
        used = await usage_by_container(self._runtime, meta.uid_of(pod), lambda path: self._measure(pod, path))
        volumes = await self._measure(pod, self._volumes_of(pod))
        return excess({name: disk.bytes for name, disk in used.items()}, volumes.bytes, pod)

    async def _measure(self, pod: core_v1.Pod, directory: Path) -> DiskUsage:
        """What a directory takes, as far as it has been examined."""
        walks = self._walks.setdefault(meta.uid_of(pod), {})
        walk = walks.setdefault(directory, TreeWalk(directory))
        async with self._threads:
            is_complete = await asyncio.to_thread(walk.go_on, _TURN)
        if is_complete:
            walks.pop(directory, None)
        return walk.usage

    def _volumes_of(self, pod: core_v1.Pod) -> Path:
        return self._dirs.of(meta.uid_of(pod)) / "volumes"


def _is_limited(worker: PodWorker) -> bool:
    pod = worker.pod
    if pod is None or worker.has_failed or pods.is_critical(pod):
        return False
    return bool(container_limits(pod)) or any(True for _ in volume_limits(pod))


def volume_limits(pod: core_v1.Pod) -> Iterator[tuple[str, Quantity]]:
    """Volumes on disk that have a limit."""
    for volume in pod.spec.volumes or ():
        source = volume.empty_dir
        if source is not None and source.size_limit and source.medium != "Memory":
            yield volume.name, source.size_limit


def container_limits(pod: core_v1.Pod) -> Mapping[str, Quantity]:
    """The containers that have a limit."""
    limits = {spec.name: (spec.resources.limits or {}).get(EPHEMERAL_STORAGE) for spec in pod.spec.containers}
    return {name: limit for name, limit in limits.items() if limit is not None}


def excess(used: Mapping[str, int], used_by_volumes: int, pod: core_v1.Pod) -> str:
    """Why a pod has to be evicted; empty if it keeps to the limits of its containers.

    Args:
        used: bytes by container, of all sorts.
    """
    limits = container_limits(pod)
    total = pod_resources.limits(pod).get(EPHEMERAL_STORAGE)
    if total is not None and sum(used.values()) + used_by_volumes > total:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {_text(total, limits)}. "
    for name, limit in limits.items():
        if used.get(name, 0) > quantity.value(limit):
            return f'Container {name} exceeded its local ephemeral storage limit "{quantity.canonical(limit)}". '
    return ""


def _text(total: int, limits: Mapping[str, Quantity]) -> str:
    """In the units of the limits that it is the sum of."""
    is_binary = all(str(limit).endswith("i") for limit in limits.values())
    return quantity.canonical(f"{total // 1024}Ki") if is_binary and total % 1024 == 0 else quantity.canonical(total)
