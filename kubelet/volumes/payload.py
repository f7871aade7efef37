"""Files that come from the API (config maps, secrets, the downward API), swapped in all at once.

The layout is Kubernetes': the files lie in a directory with a time in its name, ``..data`` points to it, and each
visible name points through ``..data``. Replacing ``..data`` is one rename, so a reader never gets half an update.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apimachinery.types import core_v1
from kubelet import untrusted_files
from kubelet.volumes.plugin import VolumeError

DATA = "..data"


@dataclass(frozen=True)
class File:
    data: bytes
    mode: int
    owner: int | None = None
    """A user's ID; None for the kubelet's own user."""


def select(
    what: str,
    data: Mapping[str, bytes],
    items: Sequence[core_v1.KeyToPath] | None,
    default_mode: int,
    *,
    optional: bool,
) -> dict[str, File]:
    """The files of a source's ``items``, or of all keys if it has none. Raises ``VolumeError`` for a missing key."""
    if not items:
        return {key: File(value, default_mode) for key, value in data.items()}
    files: dict[str, File] = {}
    for item in items:
        if item.key in data:
            mode = default_mode if item.mode is None else item.mode
            files[checked_path(item.path)] = File(data[item.key], mode)
        elif not optional:
            raise VolumeError(f"references non-existent {what} key: {item.key}")
    return files


def checked_path(path: str) -> str:
    """Raises ``VolumeError`` for a path that leads out of the volume."""
    parts = Path(path).parts
    if not parts or Path(path).is_absolute() or ".." in parts or parts[0].startswith(".."):
        raise VolumeError(f"invalid path {path!r}: must be relative and stay in the volume")
    return path


def write(directory: Path, files: Mapping[str, File], group: int | None = None) -> None:
    """Make these files the content of the directory. Nothing is changed if they are already."""
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / DATA
    if current.is_symlink() and _contains(directory / os.readlink(current), files):
        return
    old = os.readlink(current) if current.is_symlink() else None
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=directory))
    fresh.chmod(0o755)
    for path, file in files.items():
        _write_file(fresh / path, file, group)
    if group is not None:
        _give_to_group(fresh, group)
    swap = directory / "..data_tmp"
    swap.unlink(missing_ok=True)
    swap.symlink_to(fresh.name)
    swap.rename(current)
    _link_names(directory, files)
    if old is not None:
        shutil.rmtree(directory / old, ignore_errors=True)


def _write_file(path: Path, file: File, group: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.data)
    if group is not None or file.owner is not None:  # before the mode: a change of owner takes bits away
        os.chown(path, -1 if file.owner is None else file.owner, -1 if group is None else group)
    path.chmod(file.mode | (0o440 if group is not None else 0))


def _give_to_group(directory: Path, group: int) -> None:
    """A directory and those below it; files created in them belong to the group too."""
    for path in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
        os.chown(path, -1, group)
        path.chmod(0o2755)


def _contains(directory: Path, files: Mapping[str, File]) -> bool:
    present = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
    return present.keys() == files.keys() and all(
        untrusted_files.contains(path, files[name].data) for name, path in present.items()
    )


def _link_names(directory: Path, files: Mapping[str, File]) -> None:
    names = {Path(path).parts[0] for path in files}
    for entry in directory.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
