"""Mounts of this node: what is mounted below a path, mounting a tmpfs, undoing it all. Blocks: call it in a thread."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from kubelet.volumes.plugin import VolumeError

_OCTAL = re.compile(r"\\([0-7]{3})")


def is_mount(path: Path) -> bool:
    return os.path.ismount(path)


def mounts_below(path: Path, mountinfo: str) -> list[Path]:
    """Mount points at or below a path, the latest first: the order in which they come off."""
    points = [Path(_OCTAL.sub(lambda m: chr(int(m[1], 8)), line.split()[4])) for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if point == path or path in point.parents]


def mount_tmpfs(path: Path, options: str) -> None:
    """Raises ``VolumeError``."""
    arguments = ["-o", options] if options else []
    done = subprocess.run(["mount", "-t", "tmpfs", *arguments, "tmpfs", str(path)], capture_output=True, text=True)
    if done.returncode != 0:
        raise VolumeError(f"cannot mount a tmpfs on {path}: {done.stderr.strip()}")


def remove_tree(path: Path) -> None:
    """Unmount what is mounted below a directory, then remove it. Raises OSError; may be tried again.

    Nothing is removed while anything is still mounted: it might be the node's own data.
    """
    for point in mounts_below(path, Path("/proc/self/mountinfo").read_text()):
        done = subprocess.run(["umount", str(point)], capture_output=True, text=True)
        if done.returncode != 0 and os.path.ismount(point):
            raise OSError(f"cannot unmount {point}: {done.stderr.strip()}")
    if path.exists():
        shutil.rmtree(path)
