"""The volumes of a pod as paths of the node, and as mounts of its containers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from apimachinery.types import core_v1
from apimachinery.types.base import Quantity
from kubelet.api_objects import ApiObjects
from kubelet.expansion import expand
from kubelet.runtime import Mount
from kubelet.volumes.empty_dir import EmptyDir
from kubelet.volumes.host_path import HostPath
from kubelet.volumes.plugin import Plugin, Request, VolumeError
from kubelet.volumes.projected import ConfigMapVolume, DownwardAPIVolume, ProjectedVolume, SecretVolume

PLUGINS: Sequence[Plugin] = (
    EmptyDir(),
    HostPath(),
    ConfigMapVolume(),
    SecretVolume(),
    DownwardAPIVolume(),
    ProjectedVolume(),
)


class Volumes:
    """Sets up the volumes of pods."""

    def __init__(
        self,
        objects: ApiObjects,
        host_ips: tuple[str, ...],
        allocatable: Callable[[], Mapping[str, Quantity]],
        plugins: Sequence[Plugin] = PLUGINS,
    ) -> None:
        self._objects = objects
        self._host_ips = host_ips
        self._allocatable = allocatable
        self._plugins = plugins

    async def set_up(self, pod: core_v1.Pod, pod_dir: Path) -> dict[str, Path]:
        """Each volume's path by its name. Raises ``VolumeError``."""
        paths: dict[str, Path] = {}
        for volume in pod.spec.volumes or ():
            plugin = next((one for one in self._plugins if one.handles(volume)), None)
            if plugin is None:
                raise VolumeError(f'volume "{volume.name}": no volume plugin matched')
            directory = pod_dir / "volumes" / f"kubernetes.io~{plugin.kind}" / volume.name
            request = Request(pod, volume, directory, self._objects, self._host_ips, self._allocatable())
            try:
                paths[volume.name] = await plugin.set_up(request)
            except (VolumeError, OSError) as exc:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume.name}" : {exc}') from exc
        return paths


def volumes_follow_api(pod: core_v1.Pod) -> bool:
    """Whether what stands in the pod's files can change while it runs."""
    return any(one.config_map or one.secret or one.downward_api or one.projected for one in pod.spec.volumes or ())


def container_mounts(
    container: core_v1.Container, volumes: Mapping[str, Path], environment: Mapping[str, str]
) -> list[Mount]:
    """A container's mounts of its pod's volumes. Raises ``VolumeError``."""
    found: list[Mount] = []
    for mount in container.volume_mounts or ():
        if mount.name not in volumes:
            raise VolumeError(f'cannot find volume "{mount.name}" to mount into container "{container.name}"')
        source = volumes[mount.name]
        sub_path = expand(mount.sub_path_expr, environment) if mount.sub_path_expr else mount.sub_path
        if sub_path:
            source = _sub_path(source, sub_path)
        target = mount.mount_path if mount.mount_path.startswith("/") else f"/{mount.mount_path}"
        found.append(Mount(source, target, bool(mount.read_only), mount.mount_propagation))
    return found


def _sub_path(volume: Path, sub_path: str) -> Path:
    """A path within a volume, made if it is not there. A link must not lead out of the volume."""
    if Path(sub_path).is_absolute() or ".." in Path(sub_path).parts:
        raise VolumeError(f"subPath {sub_path!r} must be relative and must not contain '..'")
    path = volume / sub_path
    resolved, root = path.resolve(), volume.resolve()
    if resolved != root and root not in resolved.parents:
        raise VolumeError(f"subPath {sub_path!r} leads out of the volume")
    if not path.exists():
        path.mkdir(mode=0o750, parents=True)
    return resolved
