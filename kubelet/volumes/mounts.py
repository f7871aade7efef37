"""Mounts of this node: tmpfs, NFS and binds, what is mounted below a path, undoing it all.

Blocks: call it in a thread. Every call ends: a server that does not answer is abandoned after a time.
"""

import ctypes
import logging
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kubelet.volumes.plugin import VolumeError

log = logging.getLogger(__name__)

_OCTAL = re.compile(r"\\([0-7]{3})")
_MS_BIND = 4096
_MNT_DETACH = 2

MOUNT_SECONDS = 30.0
_UMOUNT_SECONDS = 10.0

_libc = ctypes.CDLL(None, use_errno=True)


def is_mount(path: Path) -> bool:
    """Also true for a bind mount of a file, or of a directory of the same file system."""
    return _real(path) in _mounts_now(path)


def _mounts_now(path: Path) -> list[Path]:
    return mounts_below(_real(path), _mountinfo())


def _mountinfo() -> str:
    """With the names of files as Python has them: containers may have made some of them, of any bytes."""
    return os.fsdecode(Path("/proc/self/mountinfo").read_bytes())


def _real(path: Path) -> Path:
    """As the kernel lists it: without symbolic links in its parents."""
    return path.parent.resolve() / path.name


def mounts_below(path: Path, mountinfo: str) -> list[Path]:
    """Mount points at or below a path, the latest first: the order in which they can be unmounted."""
    points = [_point(line) for line in mountinfo.split("\n") if line]
    return [point for point in reversed(points) if point == path or path in point.parents]


def _point(line: str) -> Path:
    return Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), line.split(" ")[4]))


def mount_tmpfs(path: Path, options: str) -> None:
    """Raises ``VolumeError``."""
    if _libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", ctypes.c_ulong(0), options.encode()):
        raise VolumeError(f"cannot mount a tmpfs on {path}: {os.strerror(ctypes.get_errno())}")


def mount_nfs(server: str, export: str, path: Path, options: Sequence[str] = ()) -> None:
    """Raises ``VolumeError`` in the words of the mount command."""
    arguments = ["-t", "nfs", *(["-o", ",".join(options)] if options else []), f"{server}:{export}", str(path)]
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, timeout=MOUNT_SECONDS)
        status, output = f"exit status {done.returncode}", (done.stderr or done.stdout).strip()
    except subprocess.TimeoutExpired:
        status, output = f"no answer within {MOUNT_SECONDS:.0f} s", ""
    if status != "exit status 0":
        raise VolumeError(
            f"mount failed: {status}\nMounting command: mount\nMounting arguments: {' '.join(arguments)}\n"
            f"Output: {output}"
        )


def bind(fd: int, target: Path) -> None:
    """Mount what a descriptor (``O_PATH``) refers to, whatever has become of its path. Raises OSError."""
    source = f"/proc/self/fd/{fd}".encode()
    if _libc.mount(source, os.fsencode(target), None, ctypes.c_ulong(_MS_BIND), None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def detach(point: Path) -> None:
    """Unmount at once; processes that still use it keep it. Raises OSError."""
    if _libc.umount2(os.fsencode(point), _MNT_DETACH):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(point))


def remove_tree(path: Path) -> None:
    """Unmount what is mounted below a directory, then remove it. Raises OSError; safe to repeat.

    Nothing is removed while anything is still mounted: it might be the node's own data, or a server's.
    """
    for point in _mounts_now(path):
        _unmount(point)
    if left := _mounts_now(path):
        raise OSError(f"cannot unmount {left[0]}")
    if not path.exists():
        return
    # A container may have made directories deeper than Python's stack, and than any path may be long.
    done = subprocess.run(
        ["rm", "-rf", "--one-file-system", "--", str(path)], capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        raise OSError(f"cannot remove {path}: {done.stderr.partition(chr(10))[0]}")


def _unmount(point: Path) -> None:
    """A local mount is detached at once; data for a server is written first, unless the server does not answer."""
    if _is_remote(point):
        try:
            subprocess.run(["umount", str(point)], capture_output=True, timeout=_UMOUNT_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("%s: its server does not answer; detached", point)
        if not is_mount(point):
            return
    detach(point)


def _is_remote(point: Path) -> bool:
    lines = _mountinfo().split("\n")
    return any(line and _point(line) == point and line.partition(" - ")[2].startswith("nfs") for line in lines)
