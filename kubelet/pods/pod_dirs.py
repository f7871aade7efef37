"""Where the kubelet keeps what belongs to pods on this node: ``<root>/pods/<uid>/...``, as Kubernetes lays it out."""

from pathlib import Path


class PodDirs:
    def __init__(self, root: Path) -> None:
        self.root = root
        self._pods = root / "pods"

    def prepare(self) -> None:
        self._pods.mkdir(mode=0o750, parents=True, exist_ok=True)

    def of(self, uid: str) -> Path:
        return self._pods / uid

    def uids(self) -> list[str]:
        """Pods that have a directory, known or not."""
        return [entry.name for entry in self._pods.iterdir()] if self._pods.is_dir() else []
