"""The volumes of one pod on this node: set up before its sandbox, refreshed while it runs.

Content that comes from the API (config maps, secrets, labels) is brought up to date every ``sync_frequency``.
"""

import logging
import math
import random
import time
from collections.abc import Mapping
from pathlib import Path

from apimachinery import errors, meta
from apimachinery.types import core_v1
from kubelet.containers.events import PodEvents
from kubelet.volumes import VolumeError, Volumes, mounts, sub_path
from kubelet.volumes.volumes import volumes_follow_api

log = logging.getLogger(__name__)

_SPREAD = 0.25
"""The part of the period over which the refreshes of different pods are spread."""


class PodVolumes:
    """Belongs to one worker's task."""

    def __init__(self, volumes: Volumes, directory: Path, events: PodEvents, sync_frequency: float) -> None:
        """``sync_frequency`` is seconds between refreshes."""
        self._volumes, self._directory, self._events = volumes, directory, events
        self._sync_frequency = sync_frequency
        self._paths: Mapping[str, Path] | None = None
        """None until a first set-up by this kubelet."""
        self._refresh_at = math.inf

    async def set_up(self, pod: core_v1.Pod) -> None:
        """Safe to repeat. Raises ``VolumeError``, after an event."""
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        try:
            self._paths = await self._volumes.set_up(pod, self._directory)
        except VolumeError as exc:
            self._events.warning(pod, "FailedMount", str(exc))
            raise

    async def paths(self, pod: core_v1.Pod) -> Mapping[str, Path]:
        """Where each volume is, by name; a restarted kubelet sets them up again first. Raises ``VolumeError``."""
        if self._paths is None:
            await self.set_up(pod)
        assert self._paths is not None, "set_up raises otherwise"
        return self._paths

    async def refresh(self, pod: core_v1.Pod, *, running: bool) -> None:
        """Bring files that come from the API up to date if they are due. A failure is logged and tried again later."""
        now = time.monotonic()
        if not running or not volumes_follow_api(pod):
            self._refresh_at = math.inf
            return
        period = self._sync_frequency * (1 + _SPREAD * random.random())
        if self._refresh_at == math.inf:
            self._refresh_at = now if self._paths is None else now + period
        if now < self._refresh_at:
            return
        self._refresh_at = now + period
        try:
            if self._paths is None:
                self._paths = await self._volumes.set_up(pod, self._directory)
            else:
                await self._volumes.refresh(pod, self._directory)
        except (VolumeError, errors.ApiError) as exc:
            log.info("%s: volumes not refreshed: %s", meta.key_of(pod), exc)

    def refresh_soon(self) -> None:
        """The pod's labels or annotations, which files may contain, have changed."""
        if self._refresh_at < math.inf:
            self._refresh_at = 0.0

    def seconds_to_refresh(self) -> float | None:
        return max(0.01, self._refresh_at - time.monotonic()) if self._refresh_at < math.inf else None

    def remove_volumes(self) -> None:
        """Unmount and remove the volumes; what else the pod has here stays. Blocks. Raises OSError; safe to repeat."""
        for directory in (sub_path.DIRECTORY, "volumes"):  # the former are mounted from the latter
            mounts.remove_tree(self._directory / directory)
        self._paths = None

    def remove(self) -> None:
        """Unmount and remove everything of the pod. Blocks. Raises OSError; safe to repeat."""
        mounts.remove_tree(self._directory)
