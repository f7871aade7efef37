"""What pods take of the node's disk: their volumes, what their containers have written, and their logs.

Costly (every file is looked at, and the engine looks at its own): asked only when the disk is full and somebody has to
go. Volumes in memory lie on other file systems and do not count.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelet.pods.pod_dirs import PodDirs
from kubelet.runtime import Runtime, errors, records


@dataclass(frozen=True)
class DiskUsage:
    bytes: int = 0
    inodes: int = 0

    def __add__(self, other: "DiskUsage") -> "DiskUsage":
        return DiskUsage(self.bytes + other.bytes, self.inodes + other.inodes)


async def usage_by_pod(runtime: Runtime, dirs: PodDirs, uids: Iterable[str]) -> Mapping[str, DiskUsage]:
    """By pod UID. Raises ``errors.EngineError``."""
    root = Path((await runtime.info()).root)
    listed: list[dict[str, Any]] = await runtime.engine.call(
        lambda client: client.containers(all=True, size=True, filters={"label": records.POD_UID})
    )
    written: dict[str, DiskUsage] = {}
    for one in listed:
        uid = one["Labels"][records.POD_UID]
        layer = DiskUsage(int(one.get("SizeRw") or 0), await _inodes_of_layer(runtime, one["Id"]))
        logs = await asyncio.to_thread(of_tree, root / "containers" / one["Id"])
        written[uid] = written.get(uid, DiskUsage()) + layer + logs
    return {uid: written.get(uid, DiskUsage()) + await asyncio.to_thread(of_tree, dirs.of(uid)) for uid in uids}


async def _inodes_of_layer(runtime: Runtime, id: str) -> int:
    """Files that a container has made; the engine counts bytes alone. 0 where its storage driver shows no directory."""
    with suppress(errors.NotFound):
        inspected: dict[str, Any] = await runtime.engine.call(lambda client: client.inspect_container(id))
        if upper := ((inspected.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir"):
            return (await asyncio.to_thread(of_tree, Path(upper))).inodes
    return 0


def of_tree(root: Path) -> DiskUsage:
    """Of a directory, as far as it lies on one file system; a file with several links counts once.

    What goes away meanwhile does not count. Blocks.
    """
    try:
        device = root.lstat().st_dev
    except OSError:
        return DiskUsage()
    size, seen = 0, set[int]()
    left = [str(root)]
    while left:
        try:
            entries = [*os.scandir(left.pop())]
        except OSError:
            continue
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if found.st_dev != device or found.st_ino in seen:
                continue
            seen.add(found.st_ino)
            size += found.st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                left.append(entry.path)
    return DiskUsage(size, len(seen))
