"""subPath: a part of a volume, resolved without ever following a link out of it, and held by a bind mount.

A container that can write to the volume may swap a directory for a link at any moment (CVE-2017-1002101). So a path
is resolved once, then opened part by part without following links, and what was opened is mounted, not its path: the
engine is given the mount. Files that come from the API are not updated there, as in Kubernetes.
"""

import os
import stat
from pathlib import Path

from kubelet.volumes import mounts
from kubelet.volumes.plugin import VolumeError

DIRECTORY = "volume-subpaths"


class SubPaths:
    """Of one container of one pod."""

    def __init__(self, pod_dir: Path, container: str) -> None:
        self._root, self._container = pod_dir / DIRECTORY, container

    def bind(self, volume: Path, name: str, index: int, sub_path: str) -> Path:
        """The part of the volume ``name`` for the container's mount ``index``, as a mount point of its own.

        Raises:
            VolumeError: it leads out of the volume, or cannot be opened or mounted.
        """
        target = self._root / name / self._container / str(index)
        try:
            fd = open_beneath(volume, sub_path)
            try:
                _prepare(target, is_directory=stat.S_ISDIR(os.fstat(fd).st_mode))
                mounts.bind(fd, target)
            finally:
                os.close(fd)
        except OSError as exc:
            raise VolumeError(
                f'failed to prepare subPath for volumeMount "{name}" of container "{self._container}": {exc.strerror}'
            ) from exc
        return target


def open_beneath(volume: Path, sub_path: str) -> int:
    """A descriptor (``O_PATH``) of a path within a volume; missing directories are created with the mode of the volume's.

    Raises ``VolumeError`` if it leads out, OSError if it cannot be opened.
    """
    if Path(sub_path).is_absolute() or ".." in Path(sub_path).parts:
        raise VolumeError(f"subPath {sub_path!r} must be relative and must not contain '..'")
    root = volume.resolve()
    resolved = (root / sub_path).resolve()
    if resolved != root and root not in resolved.parents:
        raise VolumeError(f"subPath {sub_path!r} leads out of the volume")
    fd = os.open(root, os.O_PATH)
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    for part in resolved.relative_to(root).parts:
        try:
            below = _open(fd, part, mode)
        finally:
            os.close(fd)
        if stat.S_ISLNK(os.fstat(below).st_mode):  # it has become a link since
            os.close(below)
            raise VolumeError(f"subPath {sub_path!r} leads out of the volume")
        fd = below
    return fd


def _open(directory: int, name: str, mode: int) -> int:
    flags = os.O_PATH | os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=directory)
    except FileNotFoundError:
        os.mkdir(name, dir_fd=directory)
        fd = os.open(name, flags, dir_fd=directory)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            os.chmod(f"/proc/self/fd/{fd}", mode)  # mkdir's mode is subject to the umask
        return fd


def _prepare(target: Path, *, is_directory: bool) -> None:
    """A directory or file to mount over. An earlier container's mount is removed, for its source may be gone."""
    while mounts.is_mount(target):
        mounts.detach(target)
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if target.is_dir() and not is_directory:
        target.rmdir()
    elif target.exists() and not target.is_dir() and is_directory:
        target.unlink()
    if is_directory:
        target.mkdir(exist_ok=True)
    else:
        target.touch()
