"""local: an existing directory or mounted disk of this node, as a persistent volume."""

import asyncio
from pathlib import Path

from apimachinery.types import core_v1
from kubelet.volumes import ownership
from kubelet.volumes.plugin import Plugin, Request, VolumeError, VolumeSource


class Local(Plugin):
    kind = "local-volume"

    def handles(self, source: VolumeSource) -> bool:
        return isinstance(source, core_v1.PersistentVolumeSpec) and source.local is not None

    async def set_up(self, request: Request) -> Path:
        source = request.source
        assert isinstance(source, core_v1.PersistentVolumeSpec) and source.local is not None, "see handles"  # noqa: PT018
        return await asyncio.to_thread(_check, Path(source.local.path), request)


def _check(path: Path, request: Request) -> Path:
    """The path itself, given to the pod's group. Raises ``VolumeError``."""
    if not path.is_absolute() or ".." in path.parts:
        raise VolumeError(f'path "{path}" must be absolute and must not contain ".."')
    if not path.exists():
        raise VolumeError(f'path "{path}" does not exist')
    if not path.is_dir():
        raise VolumeError(f'path "{path}" is not a directory')
    if not request.read_only:
        ownership.apply(path, request.pod)
    return path
