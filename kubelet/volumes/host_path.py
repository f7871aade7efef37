"""hostPath: a path of the node, checked or created as its type says."""

import asyncio
import stat
from pathlib import Path

from apimachinery.types import core_v1
from kubelet.volumes.plugin import Plugin, Request, VolumeError, VolumeSource

_CHECKS = {
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


class HostPath(Plugin):
    kind = "host-path"

    def handles(self, source: VolumeSource) -> bool:
        return source.host_path is not None

    async def set_up(self, request: Request) -> Path:
        source = request.source.host_path or core_v1.HostPathVolumeSource()
        path, kind = Path(source.path), source.type or ""
        if ".." in path.parts or not path.is_absolute():
            raise VolumeError(f"hostPath {source.path!r} must be absolute and must not contain '..'")
        await asyncio.to_thread(_prepare, path, kind)  # what is mounted there may hang
        return path


def _prepare(path: Path, kind: str) -> None:
    """Raises ``VolumeError``."""
    try:
        _make(path, kind)
    except OSError as exc:
        raise VolumeError(f"hostPath {path}: {exc.strerror}") from exc
    if kind:
        _check(path, kind.removesuffix("OrCreate"))


def _make(path: Path, kind: str) -> None:
    """Without a type, a directory is created if the path does not exist, as Docker does for Kubernetes."""
    if kind == "DirectoryOrCreate" or (not kind and not path.exists()):
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)


def _check(path: Path, kind: str) -> None:
    if kind not in _CHECKS:
        raise VolumeError(f"hostPath type {kind!r} is not known")
    matches, fault = _CHECKS[kind]
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        raise VolumeError(f"hostPath type check failed: {path} {exc.strerror}") from exc
    if not matches(mode):
        raise VolumeError(f"hostPath type check failed: {path} {fault}")
