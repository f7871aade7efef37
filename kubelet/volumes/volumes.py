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
from kubelet.volumes.local import Local
from kubelet.volumes.nfs import NFS
from kubelet.volumes.persistent import PersistentVolumeClaimVolume
from kubelet.volumes.plugin import Plugin, Request, VolumeError
from kubelet.volumes.projected import ConfigMapVolume, DownwardAPIVolume, ProjectedVolume, SecretVolume

_SOURCES: Sequence[Plugin] = (
    EmptyDir(),
    HostPath(),
    ConfigMapVolume(),
    SecretVolume(),
    DownwardAPIVolume(),
    ProjectedVolume(),
    NFS(),
    Local(),
)

PLUGINS: Sequence[Plugin] = (*_SOURCES, PersistentVolumeClaimVolume(_SOURCES))
"""Every type of volume: a new one is a module with a ``Plugin`` and a line in ``_SOURCES``."""


class Volumes:
    """Sets up the volumes of pods."""

    def __init__(
        self,
        objects: ApiObjects,
        address: NodeAddress,
        allocatable: Mapping[str, Quantity],
    ) -> None:
        self._objects = objects
        self._address = address
        self._allocatable = allocatable

    async def set_up(self, pod: core_v1.Pod, pod_dir: Path) -> dict[str, Path]:
        """Each volume's path by its name. Raises ``VolumeError``."""
        return {volume.name: await self._set_up(pod, volume, pod_dir) for volume in pod.spec.volumes or ()}

    async def refresh(self, pod: core_v1.Pod, pod_dir: Path) -> None:
        """Bring what comes from the API up to date in a pod that was set up before. Raises ``VolumeError``."""
        for volume in pod.spec.volumes or ():
            if _follows_api(volume):
                await self._set_up(pod, volume, pod_dir)

    async def _set_up(self, pod: core_v1.Pod, volume: core_v1.Volume, pod_dir: Path) -> Path:
        plugin = _plugin_for(volume)
        if plugin is None:
            raise VolumeError(f'volume "{volume.name}": no volume plugin matched')
        request = Request(
            pod=pod,
            name=volume.name,
            source=volume,
            directory=pod_dir / "volumes" / f"kubernetes.io~{plugin.kind}" / volume.name,
            objects=self._objects,
            host_ips=self._address.ips,
            allocatable=self._allocatable,
            read_only=plugin.is_read_only(volume),
        )
        try:
            return await plugin.set_up(request)
        except (VolumeError, OSError) as exc:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{volume.name}" : {exc}') from exc


def volumes_follow_api(pod: core_v1.Pod) -> bool:
    """Whether the content of any of its volumes may change in the API while it runs."""
    return any(_follows_api(volume) for volume in pod.spec.volumes or ())


def _plugin_for(volume: core_v1.Volume) -> Plugin | None:
    return next((plugin for plugin in PLUGINS if plugin.handles(volume)), None)


def _follows_api(volume: core_v1.Volume) -> bool:
    plugin = _plugin_for(volume)
    return plugin is not None and plugin.follows_api


def _is_read_only(volume: core_v1.Volume) -> bool:
    """Whether no container may write to it, whatever its mount says."""
    plugin = _plugin_for(volume)
    return plugin is not None and (plugin.follows_api or plugin.is_read_only(volume))


def container_mounts(
    pod: core_v1.Pod,
    container: core_v1.Container,
    volumes: Mapping[str, Path],
    environment: Mapping[str, str],
    bind: Callable[[Path, str, int, str], Path],
) -> list[Mount]:
    """A container's mounts of its pod's volumes. Raises ``VolumeError``.

    Args:
        bind: makes a subPath a mount point, of the volume's path and name, the mount's index and the subPath; see
            ``sub_path``.
    """
    mounts: list[Mount] = []
    read_only_volumes = {volume.name for volume in pod.spec.volumes or () if _is_read_only(volume)}
    for index, mount in enumerate(container.volume_mounts or ()):
        if mount.name not in volumes:
            raise VolumeError(f'cannot find volume "{mount.name}" to mount into container "{container.name}"')
        source = volumes[mount.name]
        sub_path = _expanded(mount, environment) if mount.sub_path_expr else mount.sub_path
        if sub_path:
            source = bind(source, mount.name, index, sub_path)
        target = mount.mount_path if mount.mount_path.startswith("/") else f"/{mount.mount_path}"
        read_only = bool(mount.read_only) or mount.name in read_only_volumes
        mounts.append(Mount(source, target, read_only, mount.mount_propagation))
    return mounts


def _expanded(mount: core_v1.VolumeMount, environment: Mapping[str, str]) -> str:
    """An undefined name is an error, for the path would not be the one that was meant."""
    text = mount.sub_path_expr or ""
    path = expand(text, environment)
    if missing := [name for name in re.findall(r"\$\(([^)]*)\)", text) if name not in environment]:
        raise VolumeError(f'failed to expand subPath for volumeMount "{mount.name}": missing value for "{missing[0]}"')
    return path
