"""The volumes of a pod as paths of the node, and as mounts of its containers."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from apimachinery.types import core_v1
from apimachinery.types.base import Quantity
from kubelet.node.address import NodeAddress
from kubelet.references.api_objects import ApiObjects
from kubelet.references.expansion import expand
from kubelet.runtime import Mount
from kubelet.volumes.empty_dir import EmptyDir
from kubelet.volumes.host_path import HostPath
from kubelet.volumes.nfs import NFS
from kubelet.volumes.persistent import PersistentVolumeClaimVolume
from kubelet.volumes.plugin import Plugin, Request, VolumeError, is_read_only
from kubelet.volumes.projected import ConfigMapVolume, DownwardAPIVolume, ProjectedVolume, SecretVolume

PLUGINS: Sequence[Plugin] = (
    EmptyDir(),
    HostPath(),
    ConfigMapVolume(),
    SecretVolume(),
    DownwardAPIVolume(),
    ProjectedVolume(),
    NFS(),
    PersistentVolumeClaimVolume(),
)


class Volumes:
    """Sets up the volumes of pods."""

    def __init__(
        self,
        objects: ApiObjects,
        address: NodeAddress,
        allocatable: Mapping[str, Quantity],
        plugins: Sequence[Plugin] = PLUGINS,
    ) -> None:
        self._objects = objects
        self._address = address
        self._allocatable = allocatable
        self._plugins = plugins

    async def set_up(self, pod: core_v1.Pod, pod_dir: Path) -> dict[str, Path]:
        """Each volume's path by its name. Raises ``VolumeError``."""
        return {one.name: await self._set_up(pod, one, pod_dir) for one in pod.spec.volumes or ()}

    async def refresh(self, pod: core_v1.Pod, pod_dir: Path) -> None:
        """Bring what comes from the API up to date in a pod that was set up before. Raises ``VolumeError``."""
        for volume in pod.spec.volumes or ():
            if follows_api(volume):
                await self._set_up(pod, volume, pod_dir)

    async def _set_up(self, pod: core_v1.Pod, volume: core_v1.Volume, pod_dir: Path) -> Path:
        plugin = next((one for one in self._plugins if one.handles(volume)), None)
        if plugin is None:
            raise VolumeError(f'volume "{volume.name}": no volume plugin matched')
        directory = pod_dir / "volumes" / f"kubernetes.io~{plugin.kind}" / volume.name
        request = Request(pod, volume, directory, self._objects, self._address.ips, self._allocatable)
        try:
            return await plugin.set_up(request)
        except (VolumeError, OSError) as exc:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{volume.name}" : {exc}') from exc


def follows_api(volume: core_v1.Volume) -> bool:
    """Whether what stands in its files can change while a pod runs. Such a volume is read-only to containers."""
    return bool(volume.config_map or volume.secret or volume.downward_api or volume.projected)


def volumes_follow_api(pod: core_v1.Pod) -> bool:
    return any(follows_api(one) for one in pod.spec.volumes or ())


def container_mounts(
    pod: core_v1.Pod,
    container: core_v1.Container,
    volumes: Mapping[str, Path],
    environment: Mapping[str, str],
    bind: Callable[[Path, str, int, str], Path],
) -> list[Mount]:
    """A container's mounts of its pod's volumes. Raises ``VolumeError``.

    Args:
        bind: finds a part of a volume (its path, its name, the mount's number, the part's path); see ``sub_path``.
    """
    found: list[Mount] = []
    sealed = {one.name for one in pod.spec.volumes or () if follows_api(one) or is_read_only(one)}
    for index, mount in enumerate(container.volume_mounts or ()):
        if mount.name not in volumes:
            raise VolumeError(f'cannot find volume "{mount.name}" to mount into container "{container.name}"')
        source = volumes[mount.name]
        sub_path = _expanded(mount, environment) if mount.sub_path_expr else mount.sub_path
        if sub_path:
            source = bind(source, mount.name, index, sub_path)
        target = mount.mount_path if mount.mount_path.startswith("/") else f"/{mount.mount_path}"
        read_only = bool(mount.read_only) or mount.name in sealed
        found.append(Mount(source, target, read_only, mount.mount_propagation))
    return found


def _expanded(mount: core_v1.VolumeMount, environment: Mapping[str, str]) -> str:
    """A name that is not defined makes a path that nobody meant."""
    text = mount.sub_path_expr or ""
    path = expand(text, environment)
    if missing := [name for name in re.findall(r"\$\(([^)]*)\)", text) if name not in environment]:
        raise VolumeError(f'failed to expand subPath for volumeMount "{mount.name}": missing value for "{missing[0]}"')
    return path
