"""``fsGroup``: what lies in a volume is made the pod's group's, as far down as it goes. Links are not followed."""

import os
import stat
from pathlib import Path

from apimachinery.types import core_v1

_FILE, _DIRECTORY = 0o660, 0o2770


def apply(root: Path, pod: core_v1.Pod) -> None:
    """By the pod's ``fsGroup`` and ``fsGroupChangePolicy``; without a group nothing. Blocks. Raises OSError."""
    security = pod.spec.security_context
    if security is None or security.fs_group is None:
        return
    group = security.fs_group
    if security.fs_group_change_policy == "OnRootMismatch" and _is_right(root, group):
        return
    for directory, _, files in os.walk(root, topdown=False, followlinks=False):  # the root last: it tells all is done
        for name in files:
            _give(Path(directory, name), group)
        _give(Path(directory), group)


def _is_right(path: Path, group: int) -> bool:
    found = path.stat()
    wanted = _DIRECTORY & ~stat.S_IRWXU
    return found.st_gid == group and found.st_mode & wanted == wanted


def _give(path: Path, group: int) -> None:
    found = path.lstat()
    os.lchown(path, -1, group)
    if not stat.S_ISLNK(found.st_mode):
        more = _DIRECTORY if stat.S_ISDIR(found.st_mode) else _FILE
        path.chmod(stat.S_IMODE(found.st_mode) | more)
