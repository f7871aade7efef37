"""Image garbage collection: when the engine's disk fills up, images that nothing needs are removed, the longest unused first.

Never an image that a container has, alive or dead (dead ones are kept for ``logs --previous`` only while their pod is
here), nor one that a pod of this node names: none is removed between its pull and its container's creation. Images that
came from no registry are kept, as nobody could pull them again.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from apimachinery.types import core_v1
from kube_client import EventRecorder
from kubelet.runtime import Runtime, errors
from kubelet.runtime.images import ImageRecord

log = logging.getLogger(__name__)

PERIOD = 300.0
"""Seconds between collections, as in Kubernetes."""


@dataclass(frozen=True)
class Policy:
    high: int = 85
    """Percent of the disk in use from which images are removed."""
    low: int = 80
    """Percent in use at which that stops."""
    min_age: float = 120.0
    """Seconds that an image is kept after it was first listed, or last used."""


@dataclass(frozen=True)
class Disk:
    """Bytes of a file system."""

    capacity: int
    used: int


def disk_of(path: str) -> Disk:
    """The disk that contains a path, links followed. Raises OSError."""
    stat = os.statvfs(path)
    used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    return Disk(used + stat.f_bavail * stat.f_frsize, used)


def bytes_to_free(disk: Disk, policy: Policy) -> int:
    """0 while the disk is less full than the high threshold."""
    if not disk.capacity or disk.used * 100 < disk.capacity * policy.high:
        return 0
    return max(0, disk.used - disk.capacity * policy.low // 100)


def removable(
    images: Iterable[ImageRecord],
    in_use: frozenset[str],
    last_used: Mapping[str, float],
    now: float,
    min_age: float,
) -> list[ImageRecord]:
    """Images that may be removed, the longest unused first. ``in_use`` contains IDs and names."""
    free = [
        image
        for image in images
        if image.id not in in_use
        and in_use.isdisjoint(image.names)
        and (image.pulled or not image.names)
        and now - last_used.get(image.id, now) >= min_age
    ]
    return sorted(free, key=lambda image: last_used[image.id])


class ImageCollector:
    """Belongs to the event loop; start ``run`` in the daemon's task group."""

    def __init__(
        self,
        runtime: Runtime,
        policy: Policy,
        images_of_pods: Callable[[], Iterable[str]],
        recorder: EventRecorder,
        node: Callable[[], core_v1.Node | None],
    ) -> None:
        """``images_of_pods`` names the images that pods of this node need; ``node`` is the object of the events."""
        self._runtime, self._policy, self._images_of_pods = runtime, policy, images_of_pods
        self._recorder, self._node = recorder, node
        self._last_used: dict[str, float] = {}
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        await self._runtime.containers.synced.wait()
        while True:
            try:
                await self.collect()
            except (errors.EngineError, OSError) as exc:
                log.info("image garbage collection: %s; will retry", exc)
            await asyncio.sleep(PERIOD)

    async def collect(self) -> None:
        """Free as much as the thresholds demand. Raises ``errors.EngineError``, OSError."""
        disk = await self.disk()
        needed = bytes_to_free(disk, self._policy)
        freed = await self._free(needed, self._policy.min_age)
        if needed and freed < needed:
            percent = disk.used * 100 // disk.capacity
            tried = f"Attempted to free {needed} bytes, but only found {freed} bytes eligible to free."
            message = f"Failed to garbage collect required amount of images. {tried} The disk is {percent}% full."
            if (node := self._node()) is not None:
                self._recorder.event(node, "Warning", "FreeDiskSpaceFailed", message)

    async def free_all(self) -> int:
        """Remove every image that nothing needs, however young; the bytes that were freed."""
        return await self._free(None, 0.0)

    async def disk(self) -> Disk:
        """Of the engine's root. Raises ``errors.EngineError``, OSError."""
        return await asyncio.to_thread(disk_of, (await self._runtime.info()).root)

    async def _free(self, needed: int | None, min_age: float) -> int:
        async with self._lock:
            images = await self._runtime.images.list()
            now = time.monotonic()
            in_use = self._in_use()
            self._observe(images, in_use, now)
            freed = 0
            for image in removable(images, in_use, self._last_used, now, min_age):
                if needed is not None and freed >= needed:
                    break
                # Computed again before each: a pod may have been added meanwhile.
                if image.id in (in_use := self._in_use()) or not in_use.isdisjoint(image.names):
                    continue
                freed += await self._remove(image)
            return freed

    async def _remove(self, image: ImageRecord) -> int:
        try:
            await self._runtime.images.remove(image)
        except (errors.Conflict, errors.Refused) as exc:
            log.info("image %s: not removed: %s", image.names or image.id, exc)
            return 0
        log.info("image %s: removed, %d bytes", image.names or image.id, image.size)
        return image.size

    def _in_use(self) -> frozenset[str]:
        """IDs and names of what containers and pods need."""
        runtime = self._runtime
        names = {full_name(image) for image in (runtime.defaults.pause_image, *self._images_of_pods())}
        return frozenset(names | {record.image_id for record in runtime.containers.all()})

    def _observe(self, images: Sequence[ImageRecord], in_use: frozenset[str], now: float) -> None:
        present = {image.id for image in images}
        self._last_used = {id: at for id, at in self._last_used.items() if id in present}
        for image in images:
            if image.id in in_use or not in_use.isdisjoint(image.names):
                self._last_used[image.id] = now
            else:
                self._last_used.setdefault(image.id, now)


def full_name(image: str) -> str:
    """With its tag, as the engine lists it."""
    name, at, digest = image.removeprefix("docker.io/").removeprefix("library/").partition("@")
    if at:
        host, slash, path = name.rpartition("/")
        return f"{host}{slash}{path.partition(':')[0]}@{digest}"
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
