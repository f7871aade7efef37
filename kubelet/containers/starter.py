"""Starts one container of a pod, in the steps of Kubernetes' ``startContainer``: pull, create, start.

Whatever keeps a container from running is returned as a ``Waiting`` with Kubernetes' reason, and recorded as an event.
"""

from apimachinery import errors as api_errors
from apimachinery.types import core_v1
from kubelet.containers.environment import ConfigError
from kubelet.containers.events import PodEvents
from kubelet.containers.image_manager import ImageManager
from kubelet.containers.run_options import Placement, RunOptions, TargetNotRunning
from kubelet.containers.waiting import CREATING, Waiting
from kubelet.runtime import ContainerRecord, RunContainerOptions, Runtime, errors, security
from kubelet.volumes import VolumeError


class ContainerStarter:
    """For all pods of the node."""

    def __init__(self, runtime: Runtime, images: ImageManager, run_options: RunOptions, events: PodEvents) -> None:
        self._runtime, self._images, self._run_options, self._events = runtime, images, run_options, events

    async def start(
        self, pod: core_v1.Pod, spec: core_v1.Container, attempt: int, placement: Placement
    ) -> ContainerRecord | Waiting:
        """The started container, or why it waits. Raises ``errors.Unavailable`` while the engine is."""
        # Step 1: pull the image, if its policy says so.
        waiting = await self._images.ensure(pod, spec, attempt)
        if waiting is not None:
            return waiting

        # Step 2: create the container.
        try:
            options = await self._run_options.of(pod, spec, attempt, placement)
        except (ConfigError, VolumeError, security.Unsupported) as exc:
            self._events.warning(pod, "Failed", f"Error: {exc}", spec.name)
            return Waiting("CreateContainerConfigError", str(exc))
        except TargetNotRunning as exc:
            return Waiting("CreateContainerError", str(exc), retry_in=2.0)
        except api_errors.ApiError as exc:
            return Waiting("CreateContainerConfigError", str(exc), retry_in=1.0)
        created = await self._create(pod, spec, attempt, placement.sandbox, options)
        if isinstance(created, Waiting):
            return created

        # Step 3: start it.
        try:
            record = await self._runtime.start(created)
        except errors.Unavailable:
            raise
        except errors.EngineError as exc:
            if await self._has_lost(placement.sandbox):
                await self._runtime.remove(created)  # it never ran: the one in the next sandbox is no restart
                return Waiting(CREATING, retry_in=None)
            self._events.warning(pod, "Failed", f"Error: {exc}", spec.name)
            return Waiting("RunContainerError", str(exc), retry_in=None)
        self._events.normal(pod, "Started", f"Started container {spec.name}", spec.name)
        return record

    async def _has_lost(self, sandbox: ContainerRecord) -> bool:
        """Whether the sandbox has ended meanwhile; its end wakes the pod's worker."""
        record = await self._runtime.containers.refresh(sandbox.id)
        return record is None or not record.running

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        self._images.forget(pod_uid)

    async def _create(
        self,
        pod: core_v1.Pod,
        spec: core_v1.Container,
        attempt: int,
        sandbox: ContainerRecord,
        options: RunContainerOptions,
    ) -> str | Waiting:
        """The new container's ID. An image that is missing is pulled first."""
        while True:
            try:
                id = await self._runtime.create_container(pod, spec, attempt, sandbox, options)
                break
            except errors.ImageNotFound:
                waiting = await self._images.ensure_missing(pod, spec, attempt)
                if waiting is not None:
                    return waiting
            except errors.Unavailable:
                raise
            except errors.EngineError as exc:
                if await self._has_lost(sandbox):
                    return Waiting(CREATING, retry_in=None)
                self._events.warning(pod, "Failed", f"Error: {exc}", spec.name)
                return Waiting("CreateContainerError", str(exc))
        if not self._images.was_pulled(pod, spec, attempt):
            message = f'Container image "{spec.image}" already present on machine'
            self._events.normal(pod, "Pulled", message, spec.name)
        self._events.normal(pod, "Created", f"Created container: {spec.name}", spec.name)
        return id
