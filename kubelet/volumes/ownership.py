"""``fsGroup``: the whole content of a volume is given to the pod's group. Links are not followed.

Whoever can write to the volume may put a link in the place of a file or directory at any moment. So directories are
opened part by part from the root on, and what was opened is changed, never what a path leads to.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from apimachinery.types import core_v1

_FILE, _DIRECTORY = 0o660, 0o2770
_DEEPEST = 2048
"""Directories in each other: as many as the longest path has."""

Parts = tuple[str, ...]
"""A path below the root of the volume."""


class _Moved(Exception):
    """There is something else now, or nothing; whoever did that has to live with it."""


def apply(root: Path, pod: core_v1.Pod) -> None:
    """By the pod's ``fsGroup`` and ``fsGroupChangePolicy``; nothing without a group. Blocks. Raises OSError."""
    security = pod.spec.security_context
    if security is None or security.fs_group is None:
        return
    group = security.fs_group
    if security.fs_group_change_policy == "OnRootMismatch" and _is_right(root, group):
        return
    base = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _Cursor(base) as cursor:
            directories: list[Parts] = [()]
            for (
                parts
            ) in directories:  # grows; a walk by recursion ends at Python's stack, which is no limit to a volume
                with suppress(_Moved):
                    directory = cursor.move(parts)
                    directories += [(*parts, name) for name in _give_files(directory, group)]
                    if parts:
                        _give(directory, group)
        _give(base, group)  # the root last, as the sign that all is done
    finally:
        os.close(base)


def _is_right(path: Path, group: int) -> bool:
    status = path.stat()
    required = _DIRECTORY & ~stat.S_IRWXU
    return status.st_gid == group and status.st_mode & required == required


def _give_files(directory: int, group: int) -> list[str]:
    """Give the group all but the directories in a directory; the names of these."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
                continue
            with suppress(_Moved), _open(directory, entry.name, os.O_PATH) as file:
                if entry.is_symlink():
                    os.chown(entry.name, -1, group, dir_fd=directory, follow_symlinks=False)
                else:
                    _give(file, group)
    return directories


def _give(fd: int, group: int) -> None:
    status = os.fstat(fd)
    if stat.S_ISLNK(status.st_mode):  # it has become a link since
        return
    place = f"/proc/self/fd/{fd}"
    os.chown(place, -1, group)
    more = _DIRECTORY if stat.S_ISDIR(status.st_mode) else _FILE
    os.chmod(place, stat.S_IMODE(status.st_mode) | more)


class _Cursor:
    """A descriptor of one directory after the other below ``base``."""

    def __init__(self, base: int) -> None:
        self._base, self._fd = base, os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=base)
        self._parts: Parts = ()

    def move(self, parts: Parts) -> int:
        """Its descriptor, good until the next move. Raises _Moved, OSError."""
        if len(parts) > _DEEPEST:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        if parts[: len(self._parts)] != self._parts:
            os.dup2(self._base, self._fd, inheritable=False)
            self._parts = ()
        for part in parts[len(self._parts) :]:
            with _open(self._fd, part, os.O_RDONLY | os.O_DIRECTORY) as below:
                os.dup2(below, self._fd, inheritable=False)
            self._parts = (*self._parts, part)
        return self._fd

    def __enter__(self) -> "_Cursor":
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)


@contextmanager
def _open(directory: int, name: str, flags: int) -> Iterator[int]:
    """A descriptor of what has this name, a link itself. Raises _Moved, OSError."""
    try:
        fd = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise _Moved from exc
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise _Moved from exc
        raise
    try:
        yield fd
    finally:
        os.close(fd)
