"""Images as data: file trees, layers, and the archive format of ``docker save`` and ``docker load``.

Pure and deterministic: entries are sorted, every time stamp is 0 and every owner is root.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
_CREATED = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Entry:
    """A file, a link (``target``) or a folder (neither data nor target) in an image; ``path`` has no leading slash."""

    path: str
    data: bytes | None = None
    target: str | None = None
    mode: int = 0o755


def layer(entries: Iterable[Entry]) -> bytes:
    """A layer's tar, including the parent folders of its entries."""
    by_path = {entry.path: entry for entry in entries}
    for path in list(by_path):
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            by_path.setdefault(folder, Entry(folder))
    return _tar((_member(by_path[path]), by_path[path].data or b"") for path in sorted(by_path))


def _member(entry: Entry) -> tarfile.TarInfo:
    member = tarfile.TarInfo(entry.path)
    member.mode = entry.mode
    if entry.target is not None:
        member.type, member.linkname = tarfile.SYMTYPE, entry.target
    elif entry.data is None:
        member.type = tarfile.DIRTYPE
    else:
        member.size = len(entry.data)
    return member


def _tar(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@dataclass(frozen=True)
class Image:
    """An image and all its names, the project's own first."""

    tags: tuple[str, ...]
    layers: tuple[bytes, ...]
    config: Mapping[str, Any]

    def _document(self) -> bytes:
        document = {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": _CREATED,
            "config": {**self.config, "Env": [f"PATH={SEARCH_PATH}", *self.config.get("Env", ())]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in self._digests()]},
            "history": [{"created": _CREATED, "created_by": "peapod"} for _ in self.layers],
        }
        return json.dumps(document, sort_keys=True).encode()

    def _digests(self) -> list[str]:
        return [hashlib.sha256(layer).hexdigest() for layer in self.layers]

    @property
    def id(self) -> str:
        """The id that the engine will give it."""
        return f"sha256:{hashlib.sha256(self._document()).hexdigest()}"


def archive(images: Sequence[Image]) -> bytes:
    """One archive of several images, for ``docker load``; shared layers are included once."""
    files: dict[str, bytes] = {}
    manifest = []
    for image in images:
        config = f"{image.id.removeprefix('sha256:')}.json"
        files[config] = image._document()
        names = [f"{digest}/layer.tar" for digest in image._digests()]
        files.update(zip(names, image.layers, strict=True))
        manifest.append({"Config": config, "RepoTags": list(image.tags), "Layers": names})
    files["manifest.json"] = json.dumps(manifest, sort_keys=True).encode()
    return layer(Entry(path, data, mode=0o644) for path, data in files.items())
