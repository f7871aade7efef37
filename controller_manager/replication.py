"""Keep as many live pods as each ReplicationController asks for.

Owns the pods that name a ReplicationController as their controller. Reads informers, writes through the API.
Events carry a key, never a decision: ``sync`` looks at everything again.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from apimachinery import codec, errors, meta, selectors
from apimachinery.core.pods import seconds_until_available
from apimachinery.meta import Key
from apimachinery.selectors import LabelSelector
from apimachinery.types.core_v1 import Pod, ReplicationController, ReplicationControllerStatus
from controller_manager.context import ControllerContext
from controller_manager.pod_adoption import PodAdoption
from controller_manager.pod_control import PodControl, PodControlError, pod_from_template
from controller_manager.replication_plan import Plan, plan, status
from kube_client import WorkQueue, process
from kube_client.workqueue import Backoff

LONGEST_BACKOFF: Final = 10.0
"""Seconds. After a server has been unavailable for minutes, recovery must not take as long again."""


class ReplicationManager:
    def __init__(self, context: ControllerContext) -> None:
        self._workers = context.options.concurrency.concurrent_rc_syncs
        self._controllers_api = context.client.resource(ReplicationController)
        self._controllers = context.informer(ReplicationController)
        self._pod_control = PodControl(context.client, context.recorder.of("replication-controller"))
        self._adoption = PodAdoption(context, ReplicationController, selector_of)
        self._queue = WorkQueue[Key]("replicationmanager", backoff=Backoff(limit=LONGEST_BACKOFF))
        self._controllers.feed(self._queue)
        self._adoption.feed(self._queue, self._pod_control.expectations)

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=self._workers)

    async def sync(self, key: Key) -> None:
        """Move one ReplicationController towards its spec. Safe to call at any time, any number of times."""
        controller = self._controllers.get(key)
        if controller is None:
            self._pod_control.expectations.forget(key)
            return
        may_act = self._pod_control.expectations.met(key) and not meta.is_being_deleted(controller)
        pods = await self._adoption.pods_of(controller)
        failure: PodControlError | None = None
        if may_act:
            try:
                await self._apply(controller, plan(controller.spec.replicas or 0, pods))
            except PodControlError as exc:
                failure = exc
        now = datetime.now(UTC)
        message, reason = (str(failure), failure.reason) if failure else (None, "")
        await self._write_status(controller, status(controller, pods, message, reason, now))
        self._wake_when_available(key, controller.spec.min_ready_seconds or 0, pods, now)
        if failure is not None:
            raise failure.cause

    async def _apply(self, controller: ReplicationController, step: Plan) -> None:
        if step.create:
            if controller.spec.template is None:
                raise ValueError(f"{meta.key_of(controller)}: no template")
            await self._pod_control.create(
                controller, [pod_from_template(controller, controller.spec.template)] * step.create
            )
        if step.delete:
            await self._pod_control.delete(controller, step.delete)

    async def _write_status(self, controller: ReplicationController, status: ReplicationControllerStatus) -> None:
        if controller.status == status:
            return
        changed = codec.copy(controller)
        changed.status = status
        with suppress(errors.NotFound):
            await self._controllers_api.update_status(changed)

    def _wake_when_available(self, key: Key, min_ready: int, pods: Sequence[Pod], now: datetime) -> None:
        waits = [wait for pod in pods if (wait := seconds_until_available(pod, min_ready, now))]
        if waits:
            self._queue.add_after(key, min(waits) + 0.1)


def selector_of(controller: ReplicationController) -> LabelSelector:
    return selectors.from_map(controller.spec.selector)
