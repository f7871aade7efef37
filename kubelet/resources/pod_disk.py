"""How much of the node's disk pods use: their volumes, the layers of their containers, and their logs.

Expensive, as every file is examined: only for choosing a pod to evict when the disk is full, and for pods with a limit. A
pod decides how many files it has, so the time for each of its directories is bounded. Volumes in memory are other file
systems and do not count.
"""

import asyncio
import math
import os
import stat
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kubelet.pods.pod_dirs import PodDirs
from kubelet.runtime import Runtime
from kubelet.runtime.records import SANDBOX

TREE_SECONDS: Final = 5.0
"""What one directory may take when pods are ranked for eviction. What is not examined by then does not count."""

_STEP: Final = 200
"""Files between two looks at the clock."""


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
        inodes = (await asyncio.to_thread(of_tree, layer.directory, TREE_SECONDS)).inodes if layer.directory else 0
        logs = await asyncio.to_thread(of_tree, layer.logs, TREE_SECONDS)
        by_pod[layer.pod_uid] = by_pod.get(layer.pod_uid, DiskUsage()) + DiskUsage(layer.bytes, inodes) + logs
    return {
        uid: by_pod.get(uid, DiskUsage()) + await asyncio.to_thread(of_tree, dirs.of(uid), TREE_SECONDS) for uid in uids
    }


Measure = Callable[[Path], Awaitable[DiskUsage]]


async def usage_by_container(runtime: Runtime, uid: str, measure: Measure) -> Mapping[str, DiskUsage]:
    """Of one pod, by container name: the layer of its latest attempt, and the logs of all. Without the sandbox.

    Args:
        measure: adds up a directory. The engine adds up only those layers of which it does not say where they are.

    Raises ``errors.EngineError``.
    """
    layers = await runtime.layers(uid, sizes=False)
    if any(layer.directory is None for layer in layers):
        layers = await runtime.layers(uid)
    usage: dict[str, DiskUsage] = {}
    for layer in sorted(layers, key=lambda layer: layer.attempt, reverse=True):
        if layer.container == SANDBOX:
            continue
        own = DiskUsage()
        if layer.container not in usage:
            own = DiskUsage(layer.bytes) if layer.directory is None else await measure(layer.directory)
        usage[layer.container] = usage.get(layer.container, DiskUsage()) + own + await measure(layer.logs)
    return usage


class TreeWalk:
    """Adds up a directory, within its file system, bit by bit: it may hold millions of files.

    A file with several links counts once; one that is removed meanwhile may count or not.
    """

    def __init__(self, root: Path) -> None:
        self.usage = DiskUsage()
        """Of what has been examined so far."""
        self._steps = self._walk(root)

    def go_on(self, seconds: float) -> bool:
        """Go on for about as long, and say whether that was all. Blocks."""
        deadline = time.monotonic() + seconds
        return all(time.monotonic() < deadline for _ in self._steps)

    def _walk(self, root: Path) -> Iterator[None]:
        """Stops after every few files."""
        try:
            device = root.lstat().st_dev
        except OSError:
            return
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
                if inodes % _STEP == 0:
                    self.usage = DiskUsage(size, inodes)
                    yield
        self.usage = DiskUsage(size, inodes)


def of_tree(root: Path, seconds: float = math.inf) -> DiskUsage:
    """Of a directory, as far as it can be examined in that time. Blocks."""
    walk = TreeWalk(root)
    walk.go_on(seconds)
    return walk.usage


def _entries(directory: str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """One after the other: a directory may have millions."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                with suppress(OSError):
                    yield entry, entry.stat(follow_symlinks=False)
    except OSError:
        return
