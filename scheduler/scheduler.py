"""The loop: take a pod, choose a node, assume it is there, bind in the background.

Choosing is one synchronous step on the cache, so two pods never see the same free room; binding is many requests at
once, as many as there are slots. An assumption ends when the informer shows the pod bound, or when the binding is
known to have failed: a lost answer says neither, so the pod is read again before its room is released.
"""

import asyncio
import logging
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, Final

from apimachinery import errors, meta
from apimachinery.core import conditions
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
"""Concurrent bindings. More would only lengthen the apiserver's queue, and make later pods with priority wait."""

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
        self._pods_api = client.resource(Pod)
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
                await asyncio.sleep(0)  # let bindings in flight proceed

    async def _with_slot(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._slots.release()

    def _schedule(self, pod: QueuedPod) -> Coroutine[Any, Any, None] | None:
        """Decide now; the requests that remain, if any, are returned."""
        started = perf_counter()
        try:
            node = self._framework.choose(pod.info, self._cache.table)
        except Unschedulable as exc:
            metrics.ATTEMPTS.inc("unschedulable")
            metrics.ATTEMPT_DURATION.observe(perf_counter() - started, "unschedulable")
            return self._unschedulable(pod, str(exc))
        except Exception:  # a plugin's bug, triggered by this pod: the others are scheduled
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
                log.info("%s: binding to %s: %s; checking whether it was bound", pod.key, node, exc)
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
        """Ask until the server answers."""
        while True:
            try:
                current = await self._pods_api.get(info.key.name, namespace=info.key.namespace)
            except errors.NotFound:
                return False
            except errors.ApiError as exc:
                log.info("%s: %s; will ask again", info.key, exc)
                await asyncio.sleep(_RECHECK_SECONDS)
            else:
                return meta.uid_of(current) == info.uid and current.spec.node_name == node

    def _release(self, pod: QueuedPod) -> None:
        self._cache.forget(pod.info.uid)
        self._queue.move_all()  # another pod may need the room that it held

    def _unschedulable(self, pod: QueuedPod, message: str) -> Coroutine[Any, Any, None] | None:
        info = self._retry(pod, backoff=False)
        if info is None:
            return None
        log.info("%s: %s", pod.key, message)
        self._recorder.event(info.pod, "Warning", "FailedScheduling", message)
        condition = PodCondition(type="PodScheduled", status="False", reason="Unschedulable", message=message)
        return self._write_condition(info.pod, condition)

    def _retry(self, pod: QueuedPod, *, backoff: bool) -> PodInfo | None:
        """Return the pod to the queue as it is now; None if it need not be scheduled any more."""
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

    async def _write_condition(self, pod: Pod, condition: PodCondition) -> None:
        """Write the condition unless the pod has it already."""
        condition.last_transition_time = meta.now()
        old = conditions.find(pod.status.conditions, condition.type)
        if old is not None and old.status == condition.status:
            if (old.reason, old.message) == (condition.reason, condition.message):
                return
            condition.last_transition_time = old.last_transition_time
        namespace, name = meta.key_of(pod)
        patch = {"metadata": {"uid": meta.uid_of(pod)}, "status": {"conditions": [condition]}}
        try:
            await self._pods_api.patch(name, patch, namespace=namespace, subresource="status")
        except errors.ApiError as exc:  # the next attempt writes it
            log.info("%s: condition not written: %s", meta.key_of(pod), exc)
