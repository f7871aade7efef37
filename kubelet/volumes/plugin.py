"""What every type of volume implements: one module per type, and one line in ``volumes.PLUGINS``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from apimachinery.types import core_v1
from apimachinery.types.base import Quantity
from kubelet.references.api_objects import ApiObjects

VolumeSource = core_v1.Volume | core_v1.PersistentVolumeSpec
"""What defines a volume's content: an entry of the pod's spec, or the persistent volume that its claim is bound to."""


class VolumeError(Exception):
    """A volume that cannot be set up (yet); the message is for the FailedMount event."""


@dataclass(frozen=True)
class Request:
    """One volume of one pod."""

    pod: core_v1.Pod
    name: str
    source: VolumeSource
    directory: Path
    """For the volume's content: ``<root>/pods/<uid>/volumes/kubernetes.io~<kind>/<name>``. Not created yet."""
    objects: ApiObjects
    host_ips: tuple[str, ...]
    allocatable: Mapping[str, Quantity]
    read_only: bool = False
    """Nothing in the pod may write to it."""


class Plugin(ABC):
    """One type of volume.

    ``set_up`` is called before each start of a sandbox and has to be repeatable. There is no tear-down: whatever is
    mounted below the pod's directory is unmounted and the directory removed when the pod ends, even by a kubelet that
    did not set it up.
    """

    kind: ClassVar[str]
    """The part after ``kubernetes.io~``."""
    follows_api: ClassVar[bool] = False
    """Its content comes from the API and may change while a pod runs. Such a volume is read-only to containers."""

    @abstractmethod
    def handles(self, source: VolumeSource) -> bool: ...

    def is_read_only(self, source: VolumeSource) -> bool:
        """Whether the source says that nothing in the pod may write to it."""
        return False

    @abstractmethod
    async def set_up(self, request: Request) -> Path:
        """The path on the node that containers mount. Raises ``VolumeError``."""
