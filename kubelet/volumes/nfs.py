"""nfs: a directory of a server, mounted below the pod's own directory by the node's mount command."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from apimachinery.types import core_v1
from kubelet.volumes import mounts
from kubelet.volumes.plugin import Request, VolumeError


class NFS:
    kind = "nfs"

    def handles(self, volume: core_v1.Volume) -> bool:
        return volume.nfs is not None

    async def set_up(self, request: Request) -> Path:
        source = request.volume.nfs
        assert source is not None, "handles said so"
        return await asyncio.to_thread(_mount, source, request.directory, request.mount_options)


def _mount(source: core_v1.NFSVolumeSource, directory: Path, options: Sequence[str]) -> Path:
    """Raises ``VolumeError``; what failed leaves no directory behind."""
    if mounts.is_mount(directory):
        return directory
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        mounts.mount_nfs(source.server, source.path, directory, [*(("ro",) if source.read_only else ()), *options])
    except VolumeError:
        with suppress(OSError):
            directory.rmdir()
        raise
    return directory
