"""Static pods: pods from files of a folder, which run whether there is an apiserver or not.

Each file holds one pod. The node's name is appended to its name; its UID is a hash of the file's content, so a changed
file is another pod. In the API a mirror pod represents it, which is created and maintained here: its annotations
contain the hash, and deleting it deletes nothing but the mirror.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from apimachinery import codec, errors, meta, yaml_loader
from apimachinery.core import pods, tolerations, well_known
from apimachinery.types import core_v1, meta_v1
from kube_client import Client, Informer
from kubelet import untrusted_files

log = logging.getLogger(__name__)

_UNREGISTERED = 1.0
"""Seconds between looks whether the node is registered, which owns the mirrors."""

_SUFFIXES = (".yaml", ".yml", ".json")

MAX_FILE = 10 * 1024 * 1024
"""Bytes of a manifest, as in Kubernetes: a hostPath volume may let a pod write there."""


def read_pod(data: bytes, path: Path, node: str) -> core_v1.Pod:
    """The static pod that a file describes. Raises ``errors.BadRequest``."""
    document, _ = yaml_loader.load(data)
    pod = codec.from_builtins(document, core_v1.Pod)
    if not pod.metadata.name or not pod.spec.containers:
        raise errors.BadRequest(f"{path}: a pod needs a name and a container")
    uid = hashlib.md5(b"\0".join((str(path).encode(), node.encode(), data)), usedforsecurity=False).hexdigest()
    pod.metadata.name = f"{pod.metadata.name}-{node}"
    pod.metadata.namespace = pod.metadata.namespace or "default"
    pod.metadata.uid = uid
    pod.metadata.annotations = {
        **meta.annotations_of(pod),
        well_known.CONFIG_HASH_ANNOTATION: uid,
        well_known.CONFIG_SOURCE_ANNOTATION: "file",
    }
    pod.spec.node_name = node
    any_eviction = core_v1.Toleration(operator="Exists", effect=tolerations.NO_EXECUTE)
    pod.spec.tolerations = [*(pod.spec.tolerations or ()), any_eviction]
    pod.status = core_v1.PodStatus()
    return pod


def mirror_of(pod: core_v1.Pod, node: core_v1.Node) -> core_v1.Pod:
    """The object in the API that represents a static pod; the node owns it."""
    mirror = codec.copy(pod)
    mirror.metadata.uid = None
    mirror.metadata.annotations = {**meta.annotations_of(pod), well_known.MIRROR_ANNOTATION: _hash(pod)}
    owner = meta_v1.OwnerReference(
        api_version="v1", kind="Node", name=meta.name_of(node), uid=meta.uid_of(node), controller=True
    )
    mirror.metadata.owner_references = [owner]
    return mirror


class StaticPods:
    """Belongs to the event loop; start ``run`` in the daemon's task group."""

    def __init__(
        self,
        folder: Path,
        frequency: float,
        client: Client,
        mirrors: Informer[core_v1.Pod],
        node_name: str,
        node: Callable[[], core_v1.Node | None],
    ) -> None:
        """``mirrors`` are the pods that the API has on this node; ``frequency`` is seconds between reads of the folder."""
        self._folder, self._frequency = folder, frequency
        self._pods_api = client.resource(core_v1.Pod)
        self._mirrors, self._node_name, self._node = mirrors, node_name, node
        self._pods: dict[str, core_v1.Pod] = {}
        self._listener: Callable[[core_v1.Pod | None, core_v1.Pod | None], object] = lambda old, new: None
        self._wake = asyncio.Event()

    @property
    def pods(self) -> Mapping[str, core_v1.Pod]:
        """By UID."""
        return self._pods

    def on_change(self, listener: Callable[[core_v1.Pod | None, core_v1.Pod | None], object]) -> None:
        """As an informer's: (None, new) for an added pod, (old, None) for a removed one."""
        self._listener = listener

    async def read(self) -> None:
        """Read the folder. A file that describes no pod is logged, and does not keep the others from running."""
        current: dict[str, core_v1.Pod] = {}
        # Decoded here, not in the thread: the types' machinery is not thread-safe.
        for path, data in await asyncio.to_thread(_read_folder, self._folder):
            try:
                pod = read_pod(data, path, self._node_name)
            except errors.ApiError as exc:
                log.warning("%s: not a static pod: %s", path, exc)
                continue
            current[meta.uid_of(pod)] = pod
        before, self._pods = self._pods, current
        for uid in before.keys() - current.keys():
            self._listener(before[uid], None)
        for uid in current.keys() - before.keys():
            log.info("%s: static pod from %s", meta.key_of(current[uid]), self._folder)
            self._listener(None, current[uid])

    async def run(self) -> None:
        self._mirrors.on_change(self._on_mirror)
        while True:
            self._wake.clear()
            await self.read()
            try:
                await self._sync_mirrors()
            except errors.ApiError as exc:
                log.info("mirror pods: %s; will retry", exc)
            try:
                async with asyncio.timeout(self._frequency if self._node() is not None else _UNREGISTERED):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def in_api(self, pod: core_v1.Pod) -> core_v1.Pod | None:
        """What represents a pod in the API: its mirror for a static pod, for any other the pod itself."""
        if meta.uid_of(pod) not in self._pods:
            from_file = meta.annotations_of(pod).get(well_known.CONFIG_SOURCE_ANNOTATION) == "file"
            return None if from_file else pod  # the pod of a file that is gone has no mirror any more
        mirror = self._mirrors.get(meta.key_of(pod))
        return mirror if mirror is not None and _represents(mirror, pod) else None

    def _on_mirror(self, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        if any(pod is not None and pods.is_mirror(pod) for pod in (old, new)):
            self._wake.set()

    async def _sync_mirrors(self) -> None:
        node = self._node()
        if node is None:
            return
        missing = {meta.key_of(pod): pod for pod in self._pods.values()}
        for mirror in [pod for pod in self._mirrors.list() if pods.is_mirror(pod)]:
            pod = missing.get(meta.key_of(mirror))
            if pod is None or not _represents(mirror, pod) or meta.is_being_deleted(mirror):
                await self._delete(mirror)
            else:
                del missing[meta.key_of(mirror)]
        for pod in missing.values():
            try:
                await self._pods_api.create(mirror_of(pod, node))
            except errors.AlreadyExists:
                log.debug("%s: the cache does not have the mirror pod yet", meta.key_of(pod))

    async def _delete(self, mirror: core_v1.Pod) -> None:
        uid = meta.uid_of(mirror)
        try:
            await self._pods_api.delete(
                meta.name_of(mirror), namespace=meta.namespace_of(mirror), uid=uid, grace_period_seconds=0
            )
        except (errors.NotFound, errors.Conflict) as exc:
            log.debug("%s: %s", meta.key_of(mirror), exc)


def _represents(mirror: core_v1.Pod, pod: core_v1.Pod) -> bool:
    return meta.annotations_of(mirror).get(well_known.MIRROR_ANNOTATION) == _hash(pod)


def _hash(static: core_v1.Pod) -> str:
    """Of the file that the pod comes from."""
    return meta.annotations_of(static)[well_known.CONFIG_HASH_ANNOTATION]


def _read_folder(folder: Path) -> list[tuple[Path, bytes]]:
    """Every file that may hold a pod. Blocks."""
    files: list[tuple[Path, bytes]] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.name.startswith(".") and path.suffix in _SUFFIXES:
            try:
                files.append((path, untrusted_files.read_whole(path, MAX_FILE, follow_links=True)))
            except OSError as exc:
                log.warning("%s: cannot be read: %s", path, exc.strerror)
    return files
