"""How much of the node's disk pods use: their volumes, the layers of their containers, and their logs.

Expensive, as every file is examined, the engine's too: only for choosing a pod to evict when the disk is full, and for pods
with a limit. Volumes in memory are other file systems and do not count.
"""

import asyncio
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kubelet.pods.pod_dirs import PodDirs
from kubelet.runtime import Runtime
from kubelet.runtime.records import SANDBOX


@dataclass(frozen=True)
class DiskUsage:
    bytes: int = 0
    inodes: int = 0

    def __add__(self, other: "DiskUsage") -> "DiskUsage":
        return DiskUsage(self.bytes + other.bytes, self.inodes + other.inodes)


async def usage_by_pod(runtime: Runtime, dirs: PodDirs, uids: Iterable[str]) -> Mapping[str, DiskUsage]:
    """By pod UID. Raises ``errors.EngineError``."""
    by_pod: dict[str, DiskUsage] = {}
    for layer in await runtime.layers():
        inodes = (await asyncio.to_thread(of_tree, layer.directory)).inodes if layer.directory else 0
        logs = await asyncio.to_thread(of_tree, layer.logs)
        by_pod[layer.pod_uid] = by_pod.get(layer.pod_uid, DiskUsage()) + DiskUsage(layer.bytes, inodes) + logs
    return {uid: by_pod.get(uid, DiskUsage()) + await asyncio.to_thread(of_tree, dirs.of(uid)) for uid in uids}


async def usage_by_container(runtime: Runtime, uid: str) -> Mapping[str, DiskUsage]:
    """Of one pod, by container name: the layer of its latest attempt, and the logs of all. Without the sandbox.

    Raises ``errors.EngineError``.
    """
    usage: dict[str, DiskUsage] = {}
    for layer in sorted(await runtime.layers(uid), key=lambda layer: layer.attempt, reverse=True):
        if layer.container == SANDBOX:
            continue
        own = DiskUsage() if layer.container in usage else DiskUsage(layer.bytes)
        logs = await asyncio.to_thread(of_tree, layer.logs)
        usage[layer.container] = usage.get(layer.container, DiskUsage()) + own + logs
    return usage


def of_tree(root: Path) -> DiskUsage:
    """Of a directory, within its file system; a file with several links counts once.

    Files that are removed meanwhile do not count. Blocks.
    """
    try:
        device = root.lstat().st_dev
    except OSError:
        return DiskUsage()
    size, inodes, linked = 0, 0, set[int]()
    pending = [str(root)]
    while pending:
        for entry, status in _entries(pending.pop()):
            is_directory = stat.S_ISDIR(status.st_mode)
            if status.st_dev != device or status.st_ino in linked:
                continue
            if status.st_nlink > 1 and not is_directory:
                linked.add(status.st_ino)
            size += status.st_blocks * 512
            inodes += 1
            if is_directory:
                pending.append(entry.path)
    return DiskUsage(size, inodes)


def _entries(directory: str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """One after the other: a directory may have millions."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                with suppress(OSError):
                    yield entry, entry.stat(follow_symlinks=False)
    except OSError:
        return
