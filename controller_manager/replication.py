"""Keep as many live pods as each ReplicationController asks for.

Owns the pods that name a ReplicationController as their controller. Reads informer caches, writes through the API.
Events carry a key, never a decision: ``sync`` looks at everything again. Expectations keep it from acting twice on a
cache that does not show its own writes yet.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeVar

from apimachinery import codec, errors, meta, selectors
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Pod, ReplicationController, ReplicationControllerStatus
from controller_manager.informers import BY_NAMESPACE, Informers
from controller_manager.pod_claims import PodClaims
from controller_manager.pods import is_active, seconds_until_available
from controller_manager.replication_plan import Plan, plan, pod_from_template, status
from kube_client import Client, EventRecorder, Expectations, WorkQueue, process
from kube_client.workqueue import Backoff

log = logging.getLogger(__name__)

T = TypeVar("T")

KIND: Final = "ReplicationController"
LONGEST_BACKOFF: Final = 10.0
"""Seconds. A server that was away for minutes must not cost as many again."""


class _Failed(Exception):
    """Replicas could not be made or removed; ``reason`` is the condition's."""

    def __init__(self, reason: str, cause: errors.ApiError) -> None:
        super().__init__(str(cause))
        self.reason, self.cause = reason, cause


class ReplicationManager:
    def __init__(self, client: Client, informers: Informers, recorder: EventRecorder) -> None:
        self._client_pods = client.resource(Pod)
        self._client_controllers = client.resource(ReplicationController)
        self._controllers, self._pods = informers.replication_controllers, informers.pods
        self._recorder = recorder
        self._claims = PodClaims(client, informers.pods)
        self._queue = WorkQueue[Key]("replicationmanager", backoff=Backoff(limit=LONGEST_BACKOFF))
        self._expected = Expectations()
        self._controllers.on_change(self._on_controller)
        self._pods.on_change(self._on_pod)

    async def run(self, workers: int) -> None:
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, key: Key) -> None:
        """Move one ReplicationController towards its spec. Safe to call at any time, any number of times."""
        controller = self._controllers.get(key)
        if controller is None:
            self._expected.forget(key)
            return
        may_act = self._expected.met(key) and not meta.is_being_deleted(controller)
        pods = await self._claims.of(controller)
        failed: _Failed | None = None
        if may_act:
            try:
                await self._apply(controller, plan(controller.spec.replicas or 0, pods))
            except _Failed as exc:
                failed = exc
        now = datetime.now(UTC)
        message, reason = (str(failed), failed.reason) if failed else (None, "")
        await self._write(controller, status(controller, pods, message, reason, now))
        self._wake_when_available(key, controller.spec.min_ready_seconds or 0, pods, now)
        if failed is not None:
            raise failed.cause

    async def _apply(self, controller: ReplicationController, step: Plan) -> None:
        if step.create:
            await self._create(controller, step.create)
        if step.delete:
            await self._delete(controller, step.delete)

    async def _create(self, controller: ReplicationController, count: int) -> None:
        """In batches of 1, 2, 4 ...: if the first pod is refused, the others will be too."""
        size = 1
        while count > 0:
            batch = min(size, count)
            await _all(self._create_one, [controller] * batch)
            count -= batch
            size *= 2

    async def _create_one(self, controller: ReplicationController) -> None:
        key = meta.key_of(controller)
        try:
            with self._expected.creation(key):
                pod = await self._client_pods.create(pod_from_template(controller))
        except errors.ApiError as exc:
            if _namespace_is_going(exc):
                return  # no pod will ever be accepted there again
            self._recorder.event(controller, "Warning", "FailedCreate", f"Error creating: {exc}")
            raise _Failed("FailedCreate", exc) from exc
        log.info("%s: created pod %s", key, meta.name_of(pod))
        self._recorder.event(controller, "Normal", "SuccessfulCreate", f"Created pod: {meta.name_of(pod)}")

    async def _delete(self, controller: ReplicationController, pods: Sequence[Pod]) -> None:
        async def delete(pod: Pod) -> None:
            await self._delete_one(controller, pod)

        await _all(delete, pods)

    async def _delete_one(self, controller: ReplicationController, pod: Pod) -> None:
        key, (namespace, name) = meta.key_of(controller), meta.key_of(pod)
        try:
            # suppress is outermost: a pod already gone must also take back the expectation
            with suppress(errors.NotFound), self._expected.deletion(key, pod):
                await self._client_pods.delete(name, namespace=namespace, uid=meta.uid_of(pod))
        except errors.ApiError as exc:
            self._recorder.event(controller, "Warning", "FailedDelete", f"Error deleting: {exc}")
            raise _Failed("FailedDelete", exc) from exc
        log.info("%s: deleted pod %s", key, name)
        self._recorder.event(controller, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

    async def _write(self, controller: ReplicationController, wanted: ReplicationControllerStatus) -> None:
        if controller.status == wanted:
            return
        changed = codec.copy(controller)
        changed.status = wanted
        with suppress(errors.NotFound):
            await self._client_controllers.update_status(changed)

    def _wake_when_available(self, key: Key, min_ready: int, pods: Sequence[Pod], now: datetime) -> None:
        waits = [wait for pod in pods if (wait := seconds_until_available(pod, min_ready, now))]
        if waits:
            self._queue.add_after(key, min(waits) + 0.1)

    def _on_controller(self, old: ReplicationController | None, new: ReplicationController | None) -> None:
        obj = new or old
        if obj is not None:
            self._queue.add(meta.key_of(obj))

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        owners = {key for pod in (old, new) if pod is not None and (key := self._owner_of(pod)) is not None}
        for key in owners:
            self._expected.observe(key, old if old and self._owner_of(old) == key else None, new)
            self._queue.add(key)
        pod = new or old
        if pod is not None and meta.controller_of(pod) is None and is_active(pod):
            self._offer(pod)

    def _offer(self, orphan: Pod) -> None:
        """Have every controller that may want the orphan look."""
        labels = meta.labels_of(orphan)
        for controller in self._controllers.by_index(BY_NAMESPACE, meta.namespace_of(orphan)):
            if selectors.from_map(controller.spec.selector).matches(labels):
                self._queue.add(meta.key_of(controller))

    @staticmethod
    def _owner_of(pod: Pod) -> Key | None:
        owner = meta.controller_of(pod)
        return Key(meta.namespace_of(pod), owner.name) if owner is not None and owner.kind == KIND else None


async def _all(act: Callable[[T], Awaitable[None]], items: Sequence[T]) -> None:
    """Act on all at once, and on all even if one fails; then raise the first failure."""
    results = await asyncio.gather(*(act(item) for item in items), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _namespace_is_going(exc: errors.ApiError) -> bool:
    causes = (exc.details.causes if exc.details else None) or ()
    return isinstance(exc, errors.Forbidden) and any(one.reason == "NamespaceTerminating" for one in causes)
