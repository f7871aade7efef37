"""``fsGroup``: the whole content of a volume is given to the pod's group. Links are not followed."""

import os
import stat
from pathlib import Path

from apimachinery.types import core_v1

_FILE, _DIRECTORY = 0o660, 0o2770


def apply(root: Path, pod: core_v1.Pod) -> None:
    """By the pod's ``fsGroup`` and ``fsGroupChangePolicy``; nothing without a group. Blocks. Raises OSError."""
    security = pod.spec.security_context
    if security is None or security.fs_group is None:
        return
    group = security.fs_group
    if security.fs_group_change_policy == "OnRootMismatch" and _is_right(root, group):
        return
    directories = [root]
    for directory in directories:  # grows; a walk by recursion ends at Python's stack, which is no limit to a volume
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(Path(entry.path))
                else:
                    _give(Path(entry.path), group)
    for directory in reversed(directories):  # the root last, as the sign that all is done
        _give(directory, group)


def _is_right(path: Path, group: int) -> bool:
    status = path.stat()
    required = _DIRECTORY & ~stat.S_IRWXU
    return status.st_gid == group and status.st_mode & required == required


def _give(path: Path, group: int) -> None:
    status = path.lstat()
    os.lchown(path, -1, group)
    if not stat.S_ISLNK(status.st_mode):
        more = _DIRECTORY if stat.S_ISDIR(status.st_mode) else _FILE
        path.chmod(stat.S_IMODE(status.st_mode) | more)
