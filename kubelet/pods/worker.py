"""One pod on this node: a task that compares the pod as it should be with its containers, and takes the next step.

Level-triggered: whatever wakes the worker (a change of the pod, an event of the engine, a pull that ended, a timer), it
looks at everything again. A pass never waits for a container to end, an image to arrive or a hook to run; those wake it.
A pod that is deleted is stopped gracefully, then its containers, its directory and at last the API object are removed.
A pod that must end for another reason (``fail``) is stopped in the same way and stays as Failed. What has ended for good
keeps its containers, for their logs, and gives up its volumes.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from apimachinery import errors as api_errors
from apimachinery import meta
from apimachinery.core import containers, pods
from apimachinery.types import core_v1
from kube_client import Resource
from kubelet.containers import etc_files, oom_score
from kubelet.containers.events import PodEvents
from kubelet.containers.node_context import NodeContext
from kubelet.containers.run_options import Placement
from kubelet.containers.starter import ContainerStarter
from kubelet.containers.termination_message import TerminationMessages
from kubelet.network.pod_network import PodNetwork
from kubelet.pods import metrics
from kubelet.pods.health import HealthMonitor
from kubelet.pods.plan import SANDBOX_CHANGED, Plan, Stop, next_to_stop, plan
from kubelet.pods.pod_dirs import PodDirs
from kubelet.pods.pod_volumes import PodVolumes
from kubelet.pods.reporter import StatusReporter
from kubelet.pods.starts import ContainerStarts
from kubelet.pods.status import PodFailure
from kubelet.pods.status_manager import StatusManager
from kubelet.pods.stopper import Stopper
from kubelet.probes import Checks
from kubelet.runtime import ContainerRecord, Runtime, errors
from kubelet.volumes import VolumeError, Volumes

log = logging.getLogger(__name__)

_RETRY_FIRST, _RETRY_LONGEST = 0.5, 20.0
"""Seconds between tries of a pass that failed: the apiserver or the engine is away, a volume is not there yet."""

_SANDBOX_GRACE = 2.0
"""Seconds that the sandbox of a finished pod has to end."""


@dataclass(frozen=True)
class Dependencies:
    """What the workers of all pods share."""

    runtime: Runtime
    starter: ContainerStarter
    volumes: Volumes
    network: PodNetwork
    statuses: StatusManager
    checks: Checks
    events: PodEvents
    pods_api: Resource[core_v1.Pod]
    dirs: PodDirs
    node: NodeContext
    sync_frequency: float
    """Seconds between refreshes of a running pod's volumes whose content comes from the API."""


class PodWorker:
    """Start ``run`` as a task; it returns when nothing is left of the pod on this node."""

    def __init__(self, uid: str, pod: core_v1.Pod | None, shared: Dependencies, tasks: asyncio.TaskGroup) -> None:
        """``pod`` is None if only its containers or its directory are known; ``tasks`` owns its probes and hooks."""
        self.uid = uid
        self.finished = False
        """Nothing is left of the pod here. The API may take a moment longer to say so."""
        self.gave_up_volumes = asyncio.Event()
        """Set once the pod has ended for good and its volumes are gone."""
        self._pod = pod
        self._gone = pod is None
        self._failure: PodFailure | None = None
        self._wake = asyncio.Event()
        self._network_reported = False
        self._shared, self._runtime, self._events = shared, shared.runtime, shared.events
        self._directory = shared.dirs.of(uid)
        self._volumes = PodVolumes(shared.volumes, self._directory, shared.events, shared.sync_frequency)
        self._health = HealthMonitor(shared.checks, shared.events, shared.node, tasks, self._wake.set)
        self._starts = ContainerStarts(shared.starter, shared.events, self._health)
        self._stopper = Stopper(shared.runtime)
        messages = TerminationMessages(shared.runtime, self._directory)
        self._reporter = StatusReporter(shared.statuses, messages, shared.node)

    @property
    def name(self) -> str:
        return str(meta.key_of(self._pod)) if self._pod else f"pod {self.uid}"

    @property
    def pod(self) -> core_v1.Pod | None:
        """As last seen; None for one of which only containers or a directory were found here."""
        return self._pod

    @property
    def is_ending(self) -> bool:
        """Whether it has to end, by the kubelet's decision or its owner's."""
        return self._failure is not None or self._is_terminating

    @property
    def has_failed(self) -> bool:
        """Whether it has to end by the kubelet's decision."""
        return self._failure is not None

    @property
    def is_active(self) -> bool:
        """Whether the pod still takes part of the node's resources, or will."""
        if self.finished or self._pod is None:
            return False
        over = self._failure is not None or pods.is_terminal(self._pod)
        return not over or bool(self._running())

    @property
    def _is_terminating(self) -> bool:
        return self._gone or (self._pod is not None and meta.is_being_deleted(self._pod))

    def update(self, pod: core_v1.Pod) -> None:
        """The pod as the API has it now."""
        if self._pod is not None and self._pod.metadata != pod.metadata:
            self._volumes.refresh_soon()
        self._pod, self._gone = pod, False
        self._wake.set()

    def gone(self) -> None:
        """The API has the pod no more: what is left of it here is removed too."""
        self._gone = True
        self._wake.set()

    def fail(self, failure: PodFailure) -> None:
        """The pod has to end as Failed. The first reason counts."""
        if self._failure is None:
            self._failure = failure
            self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        retry = _RETRY_FIRST
        try:
            while not self.finished:
                self._wake.clear()
                try:
                    delay = await self._sync()
                    retry = _RETRY_FIRST
                except (api_errors.ApiError, errors.EngineError, VolumeError, etc_files.BadHostname, OSError) as exc:
                    log.info("%s: %s; will retry in %.1f s", self.name, exc, retry)
                    delay, retry = retry, min(_RETRY_LONGEST, retry * 2)
                except Exception:
                    log.exception("%s: sync failed; will retry in %.1f s", self.name, retry)
                    delay, retry = retry, min(_RETRY_LONGEST, retry * 2)
                if not self.finished:
                    await self._sleep(delay)
        finally:
            self._health.end()

    async def _sleep(self, delay: float | None) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _sync(self) -> float | None:
        """One pass; seconds until the next, None to wait until woken."""
        started = time.monotonic()
        kind = "terminate" if self._is_terminating else "sync"
        try:
            if self._pod is None or self._is_terminating:
                return await self._terminate_pod()
            return await self._sync_pod(self._pod)
        finally:
            metrics.POD_WORKER_DURATION.observe(time.monotonic() - started, kind)

    async def _sync_pod(self, pod: core_v1.Pod) -> float | None:
        """One pass of a pod that is not being deleted, in the steps of Kubernetes' SyncPod."""
        # Step 1: compute the changes of the sandbox and the containers.
        self._check_deadline(pod)
        changes = await self._compute_changes(pod)
        await self._report(pod)
        if changes.is_last and not any(record.running for record in self._records()):
            await self._give_up_volumes()
        if changes.is_steady:
            await self._volumes.refresh(pod, running=bool(self._running()))
            return self._seconds_to_next_pass(pod, changes)

        # Step 2: without a network nothing new runs.
        if (changes.create_sandbox is not None or changes.start) and not self._has_network(pod):
            return self._seconds_to_next_pass(pod, changes)

        # Step 3: stop all containers if the sandbox was lost, else those that must not continue.
        delays = [await self._stop(pod, stop) for stop in changes.stop]

        # Step 4: create the sandbox if there is none.
        sandbox = changes.sandbox
        if changes.create_sandbox is not None:
            sandbox = await self._create_sandbox(pod, changes.create_sandbox)
            # Its address, before a container uses it: network policies isolate by address.
            await self._report(pod)

        # Step 5: start ephemeral, init and normal containers, those that are due.
        if sandbox is not None and changes.start:
            placement = Placement(sandbox, self._directory, await self._volumes.paths(pod))
            await self._starts.start(pod, changes.start, placement)

        # Step 6: remove dead containers that nothing needs any more.
        await asyncio.gather(*(self._remove(record) for record in changes.remove))

        # Step 7: report the result. Containers that have changed wake the worker for the next pass.
        await self._report(pod)
        next_pass = self._seconds_to_next_pass(pod, changes)
        return min([*delays, *(() if next_pass is None else (next_pass,))], default=None)

    async def _terminate_pod(self) -> float | None:
        """The way out, taken up at any point by a restarted kubelet: SyncTerminatingPod, then SyncTerminatedPod."""
        pod, in_api = self._pod, None if self._gone else self._pod

        # Step 1: stop the containers.
        delays: list[float] = []
        if pod is not None:
            self._health.follow(pod, self._records(), ending=True)
        if self._running():
            delays = await asyncio.gather(*(self._stop(pod, stop) for stop in next_to_stop(pod, self._records())))
        still_running = self._running()
        if in_api is not None:
            await self._report(in_api)
        if still_running:
            return max(0.01, min(delays, default=0.0))

        # Step 2: remove what the pod has on this node.
        await asyncio.gather(*(self._remove(record) for record in self._records()))
        await asyncio.to_thread(self._volumes.remove)

        # Step 3: delete the API object, once its final status is written.
        if in_api is not None:
            await self._reporter.settled(self.uid)
            await self._delete_object(in_api)

        # Step 4: forget the pod.
        self.gave_up_volumes.set()
        self._reporter.forget_pod(self.uid)
        self._shared.starter.forget(self.uid)
        log.info("%s: nothing is left on this node", self.name)
        self.finished = True
        return None

    async def _give_up_volumes(self) -> None:
        if not self.gave_up_volumes.is_set():
            await asyncio.to_thread(self._volumes.remove_volumes)
            self.gave_up_volumes.set()

    async def _compute_changes(self, pod: core_v1.Pod) -> Plan:
        """By the status as it is now: the API's may be older, and still name containers that the engine has lost."""
        status, records = await self._make_status(pod), self._records()
        changes = plan(
            msgspec.structs.replace(pod, status=status),
            records,
            self._starts.back_off_of,
            _restart_counts(status),
            self._health.health(),
            self._failure is not None,
            _exit_codes(status),
        )
        self._starts.note_back_off(pod, changes)
        return changes

    def _check_deadline(self, pod: core_v1.Pod) -> None:
        left = self._seconds_to_deadline(pod)
        if left is not None and left <= 0:
            message = "Pod was active on the node longer than the specified deadline"
            self._events.normal(pod, "DeadlineExceeded", message)
            self._failure = PodFailure("DeadlineExceeded", message)

    def _seconds_to_deadline(self, pod: core_v1.Pod) -> float | None:
        """None if it has none, or has ended or must end before it."""
        limit, started_at = pod.spec.active_deadline_seconds, self._reporter.started_at(pod)
        if limit is None or started_at is None or self._failure is not None or pods.is_terminal(pod):
            return None
        return started_at + limit - time.time()

    def _seconds_to_next_pass(self, pod: core_v1.Pod, changes: Plan) -> float | None:
        delays = [*changes.back_off.values(), *self._starts.seconds_to_retries()]
        for seconds in (self._seconds_to_deadline(pod), self._volumes.seconds_to_refresh()):
            if seconds is not None:
                delays.append(max(0.01, seconds))
        return min(delays, default=None)

    def _has_network(self, pod: core_v1.Pod) -> bool:
        fault = "" if pod.spec.host_network else self._shared.network.fault
        if fault and not self._network_reported:
            self._events.warning(pod, "NetworkNotReady", f"network is not ready: {fault}")
        self._network_reported = bool(fault)
        return not fault

    async def _create_sandbox(self, pod: core_v1.Pod, attempt: int) -> ContainerRecord:
        node = self._shared.node
        await self._volumes.set_up(pod)
        if attempt:
            self._events.normal(pod, "SandboxChanged", SANDBOX_CHANGED)
        score = max(node.lowest_oom_score, oom_score.SANDBOX_SCORE)
        try:
            hostname = etc_files.hostname_of(pod, node.hostname)
            hostname = etc_files.kernel_hostname(pod, hostname, node.cluster_domain)
            return await self._runtime.create_sandbox(pod, attempt, hostname, score)
        except (errors.EngineError, etc_files.BadHostname) as exc:
            if isinstance(exc, errors.ImageNotFound):
                self._runtime.images.pull(self._runtime.defaults.pause_image, (self.uid, "POD"))
            self._events.warning(pod, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {exc}")
            raise

    async def _stop(self, pod: core_v1.Pod | None, stop: Stop) -> float:
        """Go on stopping a container; seconds until the next step of that is due."""
        record = stop.record
        if record.is_sandbox:
            return await self._stopper.stop(record, _SANDBOX_GRACE)
        if pod is None:
            return await self._stopper.stop(record, record.grace_period)
        if not self._stopper.is_stopping(record):
            message = stop.message or f"Stopping container {record.name}"
            self._events.normal(pod, "Killing", message, record.name)
        grace = grace_period(pod, stop)
        if self._failure is not None and self._failure.grace_period is not None:
            grace = min(grace, self._failure.grace_period)
        hook_done = grace <= 0 or self._health.pre_stop(pod, record, self._records())
        return await self._stopper.stop(record, grace, hook_done=hook_done)

    async def _remove(self, record: ContainerRecord) -> None:
        await self._runtime.remove(record.id)
        self._stopper.forget(record.id)
        self._reporter.forget_container(record.id)

    async def _delete_object(self, pod: core_v1.Pod) -> None:
        name, namespace = meta.name_of(pod), meta.namespace_of(pod)
        try:
            await self._shared.pods_api.delete(name, namespace=namespace, uid=self.uid, grace_period_seconds=0)
        except (api_errors.NotFound, api_errors.Conflict) as exc:  # gone, or another pod has the name
            log.debug("%s: %s", self.name, exc)

    async def _report(self, pod: core_v1.Pod) -> None:
        self._reporter.report(pod, await self._make_status(pod))

    async def _make_status(self, pod: core_v1.Pod) -> core_v1.PodStatus:
        records = self._records()
        await self._reporter.read_messages(pod, records)
        records = self._records()
        self._health.follow(pod, records, ending=self.is_ending)  # a container that has just started is not ready yet
        waiting = self._starts.waiting(records)
        return self._reporter.make(pod, records, waiting, self._health.health(), self._failure)

    def _records(self) -> list[ContainerRecord]:
        return self._runtime.containers.of_pod(self.uid)

    def _running(self) -> list[ContainerRecord]:
        """Its running containers, without the sandbox."""
        return [record for record in self._records() if record.running and not record.is_sandbox]


def _restart_counts(status: core_v1.PodStatus) -> Mapping[str, int]:
    """By container name, of those that have been created."""
    statuses = containers.all_statuses(status)
    return {container.name: container.restart_count for container in statuses if container.container_id}


def _exit_codes(status: core_v1.PodStatus) -> Mapping[str, int]:
    """By container name, of those that have ended."""
    ends = {container.name: container.state.terminated for container in containers.all_statuses(status)}
    return {name: ended.exit_code for name, ended in ends.items() if ended is not None}


def grace_period(pod: core_v1.Pod, stop: Stop) -> float:
    """Seconds that a container has to end. A deletion's own grace period comes first, and may get shorter.

    A negative one in the spec counts as a second, as in Kubernetes.
    """
    candidates = (
        pod.metadata.deletion_grace_period_seconds,
        stop.grace_period,
        pod.spec.termination_grace_period_seconds,
    )
    granted = next((seconds for seconds in candidates if seconds is not None), stop.record.grace_period)
    return granted if granted >= 0 else 1
