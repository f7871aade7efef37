"""The file in which a container may leave its last words, mounted at its ``terminationMessagePath``."""

from pathlib import Path

from kubelet.runtime import ContainerRecord, Mount

LIMIT = 4096
"""Bytes that are reported, the last ones."""


def message_mount(pod_dir: Path, container: str, attempt: int, target: str) -> Mount:
    """An empty file for one attempt of one container. Anybody in the container may write it."""
    path = _path(pod_dir, container, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    path.chmod(0o666)
    return Mount(path, target)


def read_message(pod_dir: Path, record: ContainerRecord) -> str:
    """What an ended container left; empty if nothing."""
    try:
        return _path(pod_dir, record.name, record.attempt).read_bytes()[-LIMIT:].decode(errors="replace")
    except OSError:
        return ""


def _path(pod_dir: Path, container: str, attempt: int) -> Path:
    return pod_dir / "containers" / container / str(attempt)
