"""emptyDir: a directory of the pod's own, or a tmpfs with ``medium: Memory``. Lives as long as the pod."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from apimachinery import quantity
from apimachinery.types import core_v1
from apimachinery.types.base import Quantity
from kubelet.volumes import mounts
from kubelet.volumes.plugin import Plugin, Request, VolumeError, VolumeSource

_MODE = 0o777


class EmptyDir(Plugin):
    kind = "empty-dir"

    def handles(self, source: VolumeSource) -> bool:
        return isinstance(source, core_v1.Volume) and source.empty_dir is not None

    async def set_up(self, request: Request) -> Path:
        assert isinstance(request.source, core_v1.Volume), "see handles"
        source = request.source.empty_dir or core_v1.EmptyDirVolumeSource()
        return await asyncio.to_thread(_make, request, source)


def _make(request: Request, source: core_v1.EmptyDirVolumeSource) -> Path:
    """An existing one is left as it is: the pod may have changed its mode and owner."""
    if source.medium not in (None, "", "Memory"):
        raise VolumeError(f'emptyDir medium "{source.medium}" is not supported')
    directory = request.directory
    security = request.pod.spec.security_context
    group = security.fs_group if security else None
    if not directory.exists():
        fresh = directory.with_name(f".{directory.name}.new")  # renamed when complete: a crash leaves none half made
        fresh.mkdir(parents=True, exist_ok=True)
        _own(fresh, group)
        fresh.rename(directory)
    if source.medium == "Memory" and not mounts.is_mount(directory):
        size = memory_size(request.pod, source, request.allocatable)
        mounts.mount_tmpfs(directory, f"size={size}" if size else "")
        _own(directory, group)
    return directory


def memory_size(pod: core_v1.Pod, source: core_v1.EmptyDirVolumeSource, allocatable: Mapping[str, Quantity]) -> int:
    """Bytes of a tmpfs: the least of its own limit, its pod's memory limit and the node's allocatable; 0 for no limit.

    Its content counts as memory of the containers that wrote it.
    """
    bounds = [quantity.value(allocatable.get("memory", 0)), quantity.value(source.size_limit or 0)]
    limits = [(container.resources.limits or {}).get("memory") for container in pod.spec.containers]
    if None not in limits:
        bounds.append(sum(quantity.value(limit or 0) for limit in limits))
    return min((bound for bound in bounds if bound), default=0)


def _own(directory: Path, group: int | None) -> None:
    if group is not None:
        os.chown(directory, -1, group)
    # mkdir's mode is subject to the umask. With a group, what is created in it belongs to the group too.
    os.chmod(directory, _MODE | (0o2000 if group is not None else 0))
