"""The loop: take a pod, choose a node, assume it is there, bind in the background.

Choosing is one synchronous step on the cache, so two pods never see the same free room; binding is many requests at
once, as many as there are slots. An assumption ends when the informer shows the pod bound, or when the binding is
known to have failed: an answer that was lost says neither, so the pod is read again before its room is given away.
"""

import asyncio
import logging
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, Final

from apimachinery import errors, meta
from apimachinery.types.core_v1 import Pod, PodCondition
from kube_client import Client, EventRecorder, Informer
from scheduler import metrics
from scheduler.cache import Cache
from scheduler.event_handlers import EventHandlers
from scheduler.framework import Framework, Unschedulable
from scheduler.pod_info import PodInfo, pod_info
from scheduler.queue import QueuedPod, SchedulingQueue

log = logging.getLogger(__name__)

BINDING_SLOTS: Final = 32
"""Bindings under way at once. More only make the apiserver's queue longer, and a later pod with priority wait."""

_UNCLEAR = (errors.ServiceUnavailable, errors.Timeout, errors.InternalError)
_RECHECK_SECONDS: Final = 1.0


class Scheduler:
    """Use ``run`` while leading; informers and recorder run on their own."""

    def __init__(
        self,
        client: Client,
        pods: Informer[Pod],
        cache: Cache,
        queue: SchedulingQueue,
        framework: Framework,
        handlers: EventHandlers,
        recorder: EventRecorder,
    ) -> None:
        self._client_pods = client.resource(Pod)
        self._pods, self._cache, self._queue = pods, cache, queue
        self._framework, self._handlers, self._recorder = framework, handlers, recorder
        self._slots = asyncio.Semaphore(BINDING_SLOTS)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._slots.acquire()
                try:
                    pod = await self._queue.pop()
                except asyncio.CancelledError:
                    self._slots.release()
                    raise
                rest = self._schedule(pod)
                if rest is None:
                    self._slots.release()
                else:
                    tasks.create_task(self._with_slot(rest), name=f"schedule {pod.key}")
                await asyncio.sleep(0)  # let bindings under way go on

    async def _with_slot(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._slots.release()

    def _schedule(self, pod: QueuedPod) -> Coroutine[Any, Any, None] | None:
        """Decide now; what is left to do, if anything, is requests."""
        started = perf_counter()
        try:
            node = self._framework.choose(pod.info, self._cache.table)
        except Unschedulable as exc:
            metrics.ATTEMPTS.inc("unschedulable")
            metrics.ATTEMPT_DURATION.observe(perf_counter() - started, "unschedulable")
            return self._unschedulable(pod, str(exc))
        except Exception:  # a plugin's bug, met by this pod: the others go on
            log.exception("%s: scheduling failed; will retry", pod.key)
            metrics.ATTEMPTS.inc("error")
            self._retry(pod, backoff=True)
            return None
        metrics.ATTEMPTS.inc("scheduled")
        metrics.ALGORITHM_DURATION.observe(perf_counter() - started)
        self._cache.assume(pod.info, node)
        return self._bind(pod, node, started)

    async def _bind(self, pod: QueuedPod, node: str, started: float) -> None:
        try:
            try:
                await self._framework.bind(pod.info, node)
            except _UNCLEAR as exc:
                log.info("%s: binding to %s: %s; looking whether it was bound", pod.key, node, exc)
                if not await self._was_bound(pod.info, node):
                    raise
        except errors.ApiError as exc:
            log.info("%s: binding to %s rejected: %s; will retry", pod.key, node, exc)
            self._release(pod)
            self._retry(pod, backoff=True)
        except Exception:
            log.exception("%s: binding to %s failed; will retry", pod.key, node)
            self._release(pod)
            self._retry(pod, backoff=True)
        else:
            metrics.ATTEMPT_DURATION.observe(perf_counter() - started, "scheduled")
            log.info("%s: bound to %s", pod.key, node)
            message = f"Successfully assigned {pod.key} to {node}"
            self._recorder.event(pod.info.pod, "Normal", "Scheduled", message)

    async def _was_bound(self, info: PodInfo, node: str) -> bool:
        """Ask until there is an answer."""
        while True:
            try:
                found = await self._client_pods.get(info.key.name, namespace=info.key.namespace)
            except errors.NotFound:
                return False
            except errors.ApiError as exc:
                log.info("%s: %s; will ask again", info.key, exc)
                await asyncio.sleep(_RECHECK_SECONDS)
            else:
                return meta.uid_of(found) == info.uid and found.spec.node_name == node

    def _release(self, pod: QueuedPod) -> None:
        self._cache.forget(pod.info.uid)
        self._queue.move_all()  # what it held may be what another one needs

    def _unschedulable(self, pod: QueuedPod, why: str) -> Coroutine[Any, Any, None] | None:
        info = self._retry(pod, backoff=False)
        if info is None:
            return None
        log.info("%s: %s", pod.key, why)
        self._recorder.event(info.pod, "Warning", "FailedScheduling", why)
        condition = PodCondition(type="PodScheduled", status="False", reason="Unschedulable", message=why)
        return self._tell(info.pod, condition)

    def _retry(self, pod: QueuedPod, *, backoff: bool) -> PodInfo | None:
        """Put the pod back as it is now; None if it need not be scheduled any more."""
        current = self._pods.get(pod.key)
        if current is None or meta.uid_of(current) != pod.info.uid or not self._handlers.is_ours(current):
            return None
        if current is not pod.info.pod:
            pod.info = pod_info(current)
        if backoff:
            self._queue.add_backoff(pod)
        else:
            self._queue.add_unschedulable(pod)
        return pod.info

    async def _tell(self, pod: Pod, condition: PodCondition) -> None:
        """Write the condition unless it says so already."""
        old = next((one for one in pod.status.conditions or () if one.type == condition.type), None)
        same = old is not None and old.status == condition.status
        if same and old is not None and (old.reason, old.message) == (condition.reason, condition.message):
            return
        condition.last_transition_time = old.last_transition_time if same and old else meta.now()
        namespace, name = meta.key_of(pod)
        patch = {"metadata": {"uid": meta.uid_of(pod)}, "status": {"conditions": [condition]}}
        try:
            await self._client_pods.patch(name, patch, namespace=namespace, subresource="status")
        except errors.ApiError as exc:  # the next try writes it
            log.info("%s: condition not written: %s", meta.key_of(pod), exc)
