"""The container runtime as pod workers use it: one call per step, each safe to repeat.

After each call that changes a container its record in ``containers`` is up to date for the next plan.
Names are unique per pod UID and attempt: what an interrupted kubelet left behind is found by its name and replaced.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery.types import core_v1
from kubelet.runtime import config, errors, records
from kubelet.runtime.config import Defaults, RunContainerOptions
from kubelet.runtime.containers import Containers
from kubelet.runtime.engine import Engine
from kubelet.runtime.events import EventStream
from kubelet.runtime.images import Images
from kubelet.runtime.records import ContainerRecord

log = logging.getLogger(__name__)

RELIST = 30.0
"""Seconds between relists, which find what the event stream lost. A single call to the engine if nothing has changed."""


SILENCE = 30.0
"""Seconds after its last answer at which the engine counts as down. One that is busy may take ten for a single call.

Kubernetes' ``baseRuntimeSyncThreshold``.
"""

_NO_CONTAINERD = "N/A"
"""What the engine says of containerd's version when containerd does not answer it."""


@dataclass(frozen=True)
class EngineInfo:
    """The engine as the node's status describes it."""

    version: str
    root: str
    has_containerd: bool
    """Whether containerd, which runs the containers, answers the engine."""


@dataclass(frozen=True)
class ContainerLayer:
    """What a container has written to the engine's disk."""

    pod_uid: str
    container: str
    attempt: int
    bytes: int
    directory: Path | None
    """Of its files; None if the engine's storage driver has none."""
    logs: Path
    """The directory of its logs."""


class Runtime:
    """Belongs to the event loop; ``run`` keeps ``containers`` up to date."""

    def __init__(self, engine: Engine, defaults: Defaults) -> None:
        self.engine = engine
        self.defaults = defaults
        self.containers = Containers(engine)
        self.images = Images(engine)
        self._failure = "the engine has not answered yet"
        """Of the last call that failed."""
        self._containerd_fault = self._records_fault = ""
        """Why no container can be run although the engine answers."""
        self._reported = self.fault
        self._health_listeners: list[Callable[[], object]] = []
        self._connection_listeners: list[Callable[[], object]] = []
        self._relist_now = asyncio.Event()

    @property
    def fault(self) -> str:
        """Why the node can run no containers; empty while it can. One late answer is no fault, see ``SILENCE``."""
        return self._containerd_fault or self._records_fault or (self._failure if self.engine.silence > SILENCE else "")

    def on_health(self, listener: Callable[[], object]) -> None:
        """``listener`` is called when ``fault`` was found to have changed."""
        self._health_listeners.append(listener)

    def on_connected(self, listener: Callable[[], object]) -> None:
        """``listener`` is called when the engine can be reached, again: it may have been restarted."""
        self._connection_listeners.append(listener)

    async def run(self) -> None:
        """Follow the engine until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            stream = EventStream(self.engine, self._on_event(tasks), self._on_connected, self._on_lost)
            tasks.create_task(stream.run(), name="engine-events")
            tasks.create_task(self._relist_loop(), name="engine-relist")

    async def info(self) -> EngineInfo:
        """Raises ``errors.EngineError``."""
        info: dict[str, Any] = await self.engine.call(lambda client: client.info())
        containerd = (info.get("ContainerdCommit") or {}).get("ID", "")
        return EngineInfo(info.get("ServerVersion", ""), info.get("DockerRootDir", ""), containerd != _NO_CONTAINERD)

    async def check(self, patience: float) -> EngineInfo | None:
        """Ask the engine how it is, which brings ``fault`` up to date; None without an answer in ``patience`` seconds.

        The answer goes through containerd: an engine lists its containers even if it cannot run any.
        """
        info = None
        try:
            async with asyncio.timeout(patience):
                info = await self.info()
        except TimeoutError:
            self._failure = f"no answer within {patience:.0f} s"
        except errors.EngineError as exc:
            self._failure = str(exc)
        else:
            self._containerd_fault = "" if info.has_containerd else "containerd does not answer the engine"
        self._tell()
        return info

    async def layers(self, pod_uid: str = "", *, sizes: bool = True) -> list[ContainerLayer]:
        """Of all containers of ours, or those of one pod. Expensive with ``sizes``: the engine adds up their files.

        Raises ``errors.EngineError``.
        """
        containers = Path((await self.info()).root) / "containers"
        label = f"{records.POD_UID}={pod_uid}" if pod_uid else records.POD_UID
        listed: list[dict[str, Any]] = await self.engine.call(
            lambda client: client.containers(all=True, size=sizes, filters={"label": label})
        )
        layers = []
        for item in listed:
            labels, size = item["Labels"], int(item.get("SizeRw") or 0)
            name, attempt = labels.get(records.CONTAINER_NAME, ""), labels.get(records.RESTART_COUNT, "")
            layers.append(
                ContainerLayer(
                    pod_uid=labels[records.POD_UID],
                    container=name,
                    attempt=int(attempt) if attempt.isdecimal() else 0,
                    bytes=size,
                    directory=await self._directory_of(item["Id"]),
                    logs=containers / item["Id"],
                )
            )
        return layers

    async def _directory_of(self, id: str) -> Path | None:
        with suppress(errors.NotFound):
            inspected: dict[str, Any] = await self.engine.call(lambda client: client.inspect_container(id))
            if upper := ((inspected.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir"):
                return Path(upper)
        return None

    async def create_sandbox(
        self, pod: core_v1.Pod, attempt: int, hostname: str, oom_score_adj: int
    ) -> ContainerRecord:
        """A running pause container; ``errors.ImageNotFound`` when the pause image is not here."""
        request = config.sandbox(pod, attempt, hostname, oom_score_adj, self.defaults)
        name = records.container_name(pod, records.SANDBOX, attempt)
        return await self._start_new(name, request)

    async def create_container(
        self,
        pod: core_v1.Pod,
        spec: core_v1.Container,
        attempt: int,
        owner: ContainerRecord,
        options: RunContainerOptions,
    ) -> str:
        """A container in the sandbox ``owner``, not started; its ID."""
        request = config.container(pod, spec, attempt, owner, options, self.defaults)
        return await self._create(records.container_name(pod, spec.name, attempt), request)

    async def start(self, id: str) -> ContainerRecord:
        """Start a created container; its record is refreshed even if the engine cannot start it."""
        try:
            await self.engine.call(lambda client: client.start(id))
        finally:
            record = await self.containers.refresh(id)
        if record is None:
            raise errors.NotFound(f"container {id} was removed while it was started")
        return record

    async def signal(self, id: str, signal: str) -> None:
        """Send a signal; one that has ended needs none."""
        try:
            await self.engine.call(lambda client: client.kill(id, signal))
        except (errors.NotFound, errors.Conflict):
            await self.containers.refresh(id)

    async def remove(self, id: str) -> None:
        """Remove a container with its anonymous volumes; kills it if it still runs."""
        with suppress(errors.NotFound, errors.Conflict):  # gone, or its removal is under way
            await self.engine.call(lambda client: client.remove_container(id, v=True, force=True))
        self.containers.forget(id)

    async def _start_new(self, name: str, request: dict[str, Any]) -> ContainerRecord:
        return await self.start(await self._create(name, request))

    async def _create(self, name: str, request: dict[str, Any]) -> str:
        try:
            return await self._create_once(name, request)
        except errors.Conflict:
            # An attempt that was interrupted, in the kubelet or in the engine, holds the name.
            await self.engine.call(lambda client: client.remove_container(name, v=True, force=True))
            return await self._create_once(name, request)

    async def _create_once(self, name: str, request: dict[str, Any]) -> str:
        created: dict[str, Any] = await self.engine.call(
            lambda client: client.create_container_from_config(request, name)  # type: ignore[no-untyped-call]
        )
        return str(created["Id"])

    def _on_event(self, tasks: asyncio.TaskGroup) -> Callable[[str], object]:
        async def refresh(id: str) -> None:
            try:
                await self.containers.refresh(id)
            except errors.EngineError as exc:
                log.info("container %s: %s; left to the next relist", id[:12], exc)
            except Exception:  # a fault in one container must not end the kubelet
                log.exception("container %s: cannot be read", id[:12])

        return lambda id: tasks.create_task(refresh(id))

    def _on_connected(self) -> None:
        self._relist_now.set()
        for listener in self._connection_listeners:
            listener()

    def _on_lost(self, reason: str) -> None:
        log.info("engine events: %s; will reconnect", reason)
        self._relist_now.set()

    async def _relist_loop(self) -> None:
        while True:
            self._relist_now.clear()
            try:
                await self.containers.relist()
                self._records_fault = ""
            except errors.EngineError as exc:
                self._failure = str(exc)
            except Exception as exc:  # a fault in one container must not end the kubelet
                log.exception("relist failed")
                self._records_fault = f"cannot read the containers: {exc!r}"
            self._tell()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._relist_now.wait(), RELIST)

    def _tell(self) -> None:
        before, self._reported = self._reported, self.fault
        if self._reported != before:
            if self._reported:
                log.warning("container runtime is down: %s", self._reported)
            for listener in self._health_listeners:
                listener()
