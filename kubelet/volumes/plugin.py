"""What every kind of volume offers. One module per kind; ``volumes.volumes`` holds the table of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from apimachinery.types import core_v1
from apimachinery.types.base import Quantity
from kubelet.references.api_objects import ApiObjects


class VolumeError(Exception):
    """A volume that cannot be set up (yet); the message is for the FailedMount event."""


@dataclass(frozen=True)
class Request:
    """One volume of one pod."""

    pod: core_v1.Pod
    volume: core_v1.Volume
    directory: Path
    """Where the volume may put its content: ``<root>/pods/<uid>/volumes/kubernetes.io~<kind>/<name>``. Not made yet."""
    objects: ApiObjects
    host_ips: tuple[str, ...]
    allocatable: Mapping[str, Quantity]
    mount_options: tuple[str, ...] = ()
    """Of the persistent volume that stands behind a claim."""

    @property
    def read_only(self) -> bool:
        return is_read_only(self.volume)


def is_read_only(volume: core_v1.Volume) -> bool:
    """Whether its source says that nobody in the pod may write to it."""
    claim, nfs = volume.persistent_volume_claim, volume.nfs
    return bool((claim and claim.read_only) or (nfs and nfs.read_only))


class Plugin(Protocol):
    """One kind of volume.

    ``set_up`` is called before each start of a sandbox and must bear repetition. There is no tear-down: whatever is
    mounted below the pod's directory is unmounted and the directory removed when the pod ends, also by a kubelet that
    was not there when it was set up.
    """

    kind: str
    """The part after ``kubernetes.io~``."""

    def handles(self, volume: core_v1.Volume) -> bool: ...

    async def set_up(self, request: Request) -> Path:
        """The path of the node that containers mount. Raises ``VolumeError``."""
        ...
