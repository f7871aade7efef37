"""nfs: a directory of a server, mounted below the pod's own directory by the node's mount command."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from apimachinery.types import core_v1
from kubelet.volumes import mounts
from kubelet.volumes.plugin import Plugin, Request, VolumeError, VolumeSource


class NFS(Plugin):
    kind = "nfs"

    def handles(self, source: VolumeSource) -> bool:
        return source.nfs is not None

    def is_read_only(self, source: VolumeSource) -> bool:
        return bool(source.nfs and source.nfs.read_only)

    async def set_up(self, request: Request) -> Path:
        source = request.source
        assert source.nfs is not None, "see handles"
        options = (source.mount_options or ()) if isinstance(source, core_v1.PersistentVolumeSpec) else ()
        return await asyncio.to_thread(_mount, source.nfs, request.directory, options)


def _mount(source: core_v1.NFSVolumeSource, directory: Path, options: Sequence[str]) -> Path:
    """Raises ``VolumeError``; a failed mount leaves no directory behind."""
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
