"""emptyDir: a directory of the pod's own, or a tmpfs with ``medium: Memory``. Lives as long as the pod."""

import asyncio
import os
from pathlib import Path

from apimachinery import quantity
from apimachinery.types import core_v1
from kubelet.volumes import mounts
from kubelet.volumes.plugin import Request, VolumeError

_MODE = 0o777


class EmptyDir:
    kind = "empty-dir"

    def handles(self, volume: core_v1.Volume) -> bool:
        return volume.empty_dir is not None

    async def set_up(self, request: Request) -> Path:
        return await asyncio.to_thread(_make, request)


def _make(request: Request) -> Path:
    source = request.volume.empty_dir or core_v1.EmptyDirVolumeSource()
    directory = request.directory
    directory.mkdir(parents=True, exist_ok=True)
    if source.medium == "Memory" and not mounts.is_mount(directory):
        size = f"size={quantity.value(source.size_limit)}" if source.size_limit else ""
        mounts.mount_tmpfs(directory, size)
    elif source.medium not in (None, "", "Memory"):
        raise VolumeError(f'emptyDir medium "{source.medium}" is not supported')
    os.chmod(directory, _MODE)  # mkdir's mode is subject to the umask
    security = request.pod.spec.security_context
    if security and security.fs_group is not None:
        os.chown(directory, -1, security.fs_group)
        os.chmod(directory, _MODE | 0o2000)  # what is made in it belongs to the group too
    return directory
