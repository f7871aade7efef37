"""local: a directory or a mounted disk of this node, offered as a persistent volume. It must be there."""

import asyncio
from pathlib import Path

from kubelet.volumes import ownership
from kubelet.volumes.plugin import Request, VolumeError


async def set_up(path: str, request: Request) -> Path:
    """The path itself, given to the pod's group. Raises ``VolumeError``."""
    return await asyncio.to_thread(_check, Path(path), request)


def _check(path: Path, request: Request) -> Path:
    if not path.is_absolute() or ".." in path.parts:
        raise VolumeError(f'path "{path}" must be absolute and must not contain ".."')
    if not path.exists():
        raise VolumeError(f'path "{path}" does not exist')
    if not path.is_dir():
        raise VolumeError(f'path "{path}" is not a directory')
    if not request.read_only:
        ownership.apply(path, request.pod)
    return path
