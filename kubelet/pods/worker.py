"""One pod on this node: a task that compares what is wanted with its containers, and takes the next step.

Level-triggered: whatever wakes the worker (a change of the pod, an event of the engine, a pull that ended, a timer), it
looks at everything again. A step never waits for a container to end, an image to come or a hook to run; those wake it.
When the pod is to go, containers are stopped gracefully, then they, the pod's directory and at last the API object are
removed. A pod that must end for another reason (``end``) is stopped alike and stays as Failed.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apimachinery import errors as api_errors
from apimachinery import meta
from apimachinery.core import containers
from apimachinery.types import core_v1
from kube_client import EventRecorder, Resource
from kubelet.containers import etc_files
from kubelet.containers import oom_score as qos
from kubelet.containers.node_context import NodeContext
from kubelet.containers.starter import ContainerStarter
from kubelet.containers.termination_message import TerminationMessages
from kubelet.pods import metrics
from kubelet.pods.health import Vitals
from kubelet.pods.plan import Plan, Start, latest_records, plan, wind_up
from kubelet.pods.pod_dirs import PodDirs
from kubelet.pods.starts import PodStarts
from kubelet.pods.status import End, Observed, pod_status, rejected_status
from kubelet.pods.status_manager import StatusManager
from kubelet.pods.stopper import Stopper
from kubelet.probes import Checks
from kubelet.runtime import ContainerRecord, Runtime, errors
from kubelet.volumes import VolumeError, Volumes, mounts
from kubelet.volumes.volumes import volumes_follow_api

log = logging.getLogger(__name__)

_RETRY_FIRST, _RETRY_LONGEST = 0.5, 20.0
"""Seconds between tries of a step that failed: the apiserver or the engine is away, a volume is not there yet."""

_FINISHED_GRACE = 2.0

_SPREAD = 0.25
"""Part of the period by which pods' looks at their volumes are spread."""


@dataclass(frozen=True)
class Parts:
    """What all workers share."""

    runtime: Runtime
    starter: ContainerStarter
    volumes: Volumes
    statuses: StatusManager
    checks: Checks
    recorder: EventRecorder
    pods: Resource[core_v1.Pod]
    dirs: PodDirs
    node: NodeContext
    sync_frequency: float
    """Seconds between looks at the volumes of running pods whose content comes from the API."""
    network_fault: Callable[[], str]
    """Why pods have no network yet; empty when they have."""


class PodWorker:
    """Start ``run`` as a task; it returns when nothing is left of the pod on this node."""

    def __init__(self, uid: str, pod: core_v1.Pod | None, parts: Parts, tasks: asyncio.TaskGroup) -> None:
        """``tasks`` owns what goes on beside the worker: probes and hooks."""
        self.uid = uid
        self._pod = pod
        """As last seen in the API; for a pod that was never seen, None."""
        self._gone = pod is None
        self._parts = parts
        self._wake = asyncio.Event()
        self._stopper = Stopper(parts.runtime)
        self._starts = PodStarts(parts.recorder)
        self._messages = TerminationMessages(parts.runtime, parts.dirs.of(uid))
        self._paths: Mapping[str, Path] | None = None
        self._refresh_at = math.inf
        self._told_network = False
        self._vitals = Vitals(parts.checks, parts.recorder, lambda: parts.node.host_ips, tasks, self._wake.set)
        self._end: End | None = None
        self.finished = False
        """Nothing is left of the pod here. The API may take a moment longer to say so."""

    @property
    def name(self) -> str:
        return str(meta.key_of(self._pod)) if self._pod else f"pod {self.uid}"

    def update(self, pod: core_v1.Pod) -> None:
        """The pod as the API has it now."""
        if self._pod is not None and self._pod.metadata != pod.metadata and self._refresh_at < math.inf:
            self._refresh_at = 0.0  # labels and annotations may stand in files
        self._pod, self._gone = pod, False
        self._wake.set()

    def gone(self) -> None:
        """The API has the pod no more: what is left of it here goes too."""
        self._gone = True
        self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    def end(self, end: End) -> None:
        """The pod has to end, and why. The first reason counts."""
        if self._end is None:
            self._end = end
            self._wake.set()

    @property
    def pod(self) -> core_v1.Pod | None:
        """As last seen."""
        return self._pod

    @property
    def is_ending(self) -> bool:
        """Whether it was told to end, by us or by its owner."""
        return self._end is not None or self._gone or (self._pod is not None and meta.is_being_deleted(self._pod))

    @property
    def is_active(self) -> bool:
        """Whether the pod still takes part of the node's resources, or will."""
        pod = self._pod
        over = self._end is not None or (pod is not None and pod.status.phase in ("Succeeded", "Failed"))
        return not self.finished and pod is not None and not (over and not self._running())

    async def run(self) -> None:
        try:
            await self._loop()
        finally:
            self._vitals.end()

    async def _loop(self) -> None:
        retry = _RETRY_FIRST
        while not self.finished:
            self._wake.clear()
            try:
                delay = await self._timed_sync()
                retry = _RETRY_FIRST
            except (api_errors.ApiError, errors.EngineError, VolumeError, etc_files.BadHostname, OSError) as exc:
                log.info("%s: %s; will retry in %.1f s", self.name, exc, retry)
                delay, retry = retry, min(_RETRY_LONGEST, retry * 2)
            except Exception:
                log.exception("%s: sync failed; will retry in %.1f s", self.name, retry)
                delay, retry = retry, min(_RETRY_LONGEST, retry * 2)
            if not self.finished:
                await self._sleep(delay)

    async def _sleep(self, delay: float | None) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _timed_sync(self) -> float | None:
        started = time.monotonic()
        try:
            return await self._sync()
        finally:
            kind = "terminate" if self._pod is None or self._gone or meta.is_being_deleted(self._pod) else "sync"
            metrics.POD_WORKER_DURATION.observe(time.monotonic() - started, kind)

    async def _sync(self) -> float | None:
        """Take the next step; seconds until the next look, None for a look when woken."""
        pod = self._pod
        if pod is None or self._gone or meta.is_being_deleted(pod):
            return await self._terminate()
        self._check_deadline(pod)
        self._vitals.follow(pod, self._records(), ending=self._end is not None)
        step = self._plan(pod)
        await self._report(pod)
        if step.is_steady:
            await self._refresh_volumes(pod)
            return self._next_look(pod, step)
        if (step.create_sandbox is not None or step.start) and not self._has_network(pod):
            return None
        if step.create_sandbox is not None:
            await self._create_sandbox(pod, step.create_sandbox)
            step = self._plan(pod)
        delays = [await self._stop(pod, one.record, one.message) for one in step.stop]
        if step.sandbox is not None:
            await self._start_all(pod, step.start, step.sandbox)
        await asyncio.gather(*(self._remove(record) for record in step.remove))
        self._vitals.follow(pod, self._records(), ending=self._end is not None)
        step = self._plan(pod)
        await self._report(pod)
        look = self._next_look(pod, step)
        return min([*delays, *([look] if look is not None else [])], default=None)

    def _plan(self, pod: core_v1.Pod) -> Plan:
        """The plan, without the starts that have to wait."""
        status = pod.status
        known = (status.init_container_statuses, status.container_statuses, status.ephemeral_container_statuses)
        restarts = {one.name: one.restart_count for group in known for one in group or () if one.container_id}
        over = self._end.message if self._end else ""
        step = plan(pod, self._records(), self._starts.restart_in, restarts, self._vitals.health(over))
        self._starts.note_back_off(pod, step)
        return step

    def _check_deadline(self, pod: core_v1.Pod) -> None:
        left = self._seconds_left(pod)
        if left is not None and left <= 0 and self._end is None and pod.status.phase not in ("Succeeded", "Failed"):
            message = "Pod was active on the node longer than the specified deadline"
            self._event(pod, "Normal", "DeadlineExceeded", message)
            self._end = End("DeadlineExceeded", message)

    def _seconds_left(self, pod: core_v1.Pod) -> float | None:
        """Until the pod's deadline."""
        began = self._parts.statuses.latest(pod).start_time
        if pod.spec.active_deadline_seconds is None or began is None:
            return None
        return meta.parse_time(began).timestamp() + pod.spec.active_deadline_seconds - time.time()

    def _next_look(self, pod: core_v1.Pod, step: Plan) -> float | None:
        now = time.monotonic()
        looks = [wait.seconds for wait in step.waiting.values()]
        left = self._seconds_left(pod)
        if left is not None and self._end is None and pod.status.phase not in ("Succeeded", "Failed"):
            looks.append(max(0.01, left))
        if self._refresh_at < math.inf:
            looks.append(max(0.01, self._refresh_at - now))
        return min([*looks, *self._starts.next_looks()], default=None)

    def _has_network(self, pod: core_v1.Pod) -> bool:
        fault = "" if pod.spec.host_network else self._parts.network_fault()
        if fault and not self._told_network:
            self._event(pod, "Warning", "NetworkNotReady", f"network is not ready: {fault}")
        self._told_network = bool(fault)
        return not fault

    async def _create_sandbox(self, pod: core_v1.Pod, attempt: int) -> None:
        parts = self._parts
        await self._set_up_volumes(pod)
        if attempt:
            self._event(pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        own = etc_files.hostname_of(pod, parts.node.hostname)
        score = max(parts.node.lowest_oom_score, qos.SANDBOX_SCORE)
        try:
            hostname = etc_files.kernel_hostname(pod, own, parts.node.cluster_domain)
            await parts.runtime.create_sandbox(pod, attempt, hostname, score)
        except (errors.EngineError, etc_files.BadHostname) as exc:
            if isinstance(exc, errors.ImageNotFound):
                parts.runtime.images.pull(parts.runtime.defaults.pause_image, (self.uid, "POD"))
            message = f"Failed to create pod sandbox: {exc}"
            self._event(pod, "Warning", "FailedCreatePodSandBox", message)
            raise

    async def _refresh_volumes(self, pod: core_v1.Pod) -> None:
        """Bring files that come from the API up to date in a running pod. What fails now is tried again later."""
        now = time.monotonic()
        if not self._running() or not volumes_follow_api(pod):
            self._refresh_at = math.inf
            return
        if self._refresh_at == math.inf:
            self._refresh_at = now if self._paths is None else now + self._period()
        if now < self._refresh_at:
            return
        self._refresh_at = now + self._period()
        try:
            directory = self._parts.dirs.of(self.uid)
            if self._paths is None:  # a kubelet that was started anew
                self._paths = await self._parts.volumes.set_up(pod, directory)
            else:
                await self._parts.volumes.refresh(pod, directory)
        except (VolumeError, api_errors.ApiError) as exc:
            log.info("%s: volumes not brought up to date: %s", self.name, exc)

    def _period(self) -> float:
        return self._parts.sync_frequency * (1 + _SPREAD * random.random())

    async def _set_up_volumes(self, pod: core_v1.Pod) -> Mapping[str, Path]:
        directory = self._parts.dirs.of(self.uid)
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        try:
            self._paths = await self._parts.volumes.set_up(pod, directory)
        except VolumeError as exc:
            self._event(pod, "Warning", "FailedMount", str(exc))
            raise
        return self._paths

    async def _start_all(self, pod: core_v1.Pod, starts: Sequence[Start], sandbox: ContainerRecord) -> None:
        if not starts:
            return
        paths = self._paths if self._paths is not None else await self._set_up_volumes(pod)

        async def start(one: Start) -> None:
            await self._parts.starter.start(pod, one, sandbox, self._parts.dirs.of(self.uid), paths)
            self._vitals.started(pod, one.container, self._records())

        await self._starts.start_all(starts, start)

    async def _stop(self, pod: core_v1.Pod | None, record: ContainerRecord, message: str = "") -> float:
        if not self._stopper.is_stopping(record) and pod is not None and not record.is_sandbox:
            self._event(pod, "Normal", "Killing", message or f"Stopping container {record.name}", record.name)
        grace = _FINISHED_GRACE if record.is_sandbox else self._grace(record)
        if pod is None or record.is_sandbox:
            return await self._stopper.stop(record, grace)
        return await self._stopper.stop(record, grace, lambda: self._vitals.ready_to_stop(pod, record, self._records()))

    def _grace(self, record: ContainerRecord) -> float:
        """Seconds that a container has to end. A deletion may shorten it."""
        if self._pod is None:
            return record.grace_period
        asked = self._pod.metadata.deletion_grace_period_seconds
        wanted = self._pod.spec.termination_grace_period_seconds
        spec = containers.find(self._pod, record.name)
        if asked is None and spec is not None and (own := self._vitals.grace_of_failed(spec, record)) is not None:
            return own
        return asked if asked is not None else wanted if wanted is not None else record.grace_period

    async def _remove(self, record: ContainerRecord) -> None:
        await self._parts.runtime.remove(record.id)
        self._stopper.forget(record.id)
        self._messages.forget(record.id)

    async def _terminate(self) -> float | None:
        """Stop, remove, forget: the way out, taken up at any point by a restarted kubelet."""
        parts, pod = self._parts, self._pod
        present = pod is not None and not self._gone
        if pod is not None:
            self._vitals.follow(pod, self._records(), ending=True)
        if self._running():
            due = [one.record for one in wind_up(pod, self._records())]
            delays = await asyncio.gather(*(self._stop(pod, one) for one in due))
            if pod is not None and present:
                await self._report(pod)
            if self._running():
                return max(0.01, min(delays))
        if pod is not None and present:
            await self._report(pod)
        await asyncio.gather(*(self._remove(record) for record in self._records()))
        await asyncio.to_thread(mounts.remove_tree, parts.dirs.of(self.uid))
        if pod is not None and present:
            await parts.statuses.settled(self.uid)
            await self._delete_object(pod)
        parts.statuses.forget(self.uid)
        parts.starter.forget(self.uid)
        log.info("%s: nothing is left on this node", self.name)
        self.finished = True
        return None

    async def _delete_object(self, pod: core_v1.Pod) -> None:
        try:
            await self._parts.pods.delete(
                meta.name_of(pod), namespace=meta.namespace_of(pod), uid=self.uid, grace_period_seconds=0
            )
        except (api_errors.NotFound, api_errors.Conflict) as exc:  # gone, or another pod has the name
            log.debug("%s: %s", self.name, exc)

    async def _report(self, pod: core_v1.Pod) -> None:
        parts = self._parts
        await self._messages.read(pod, self._records())
        records = self._records()
        self._starts.note_running({name for name, one in latest_records(records).items() if one.running})
        if self._end is not None and not records and not parts.statuses.latest(pod).container_statuses:
            parts.statuses.set(pod, rejected_status(pod, parts.statuses.latest(pod), self._end, meta.now()))
            return
        seen = Observed(
            records,
            parts.node.host_ips,
            meta.now(),
            self._starts.waiting,
            self._messages.known,
            unready=self._vitals.unready,
            not_started=self._vitals.not_started,
            end=self._end,
        )
        parts.statuses.set(pod, pod_status(pod, parts.statuses.latest(pod), seen))

    def _records(self) -> list[ContainerRecord]:
        return self._parts.runtime.containers.of_pod(self.uid)

    def _running(self) -> list[ContainerRecord]:
        return [one for one in self._records() if one.running and not one.is_sandbox]

    def _event(self, pod: core_v1.Pod, type: str, reason: str, message: str, container: str = "") -> None:
        path = containers.field_path(pod, container) if container else ""
        self._parts.recorder.event(pod, type, reason, message, field_path=path)
