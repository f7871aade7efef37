"""Lifecycle hooks of one pod's containers: postStart once a container runs, preStop before its stop signal.

A hook is a task; the worker is woken when it ends. A container counts as started only after its postStart hook, and
is stopped when that fails. A preStop hook is part of the grace period. A kubelet that is restarted meanwhile does not
run postStart again, and runs preStop again: at least once, as Kubernetes promises.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from apimachinery.types import core_v1
from kubelet.containers.events import PodEvents
from kubelet.probes import Checks, Failure
from kubelet.probes.checks import InvalidAction, Outcome, Target

log = logging.getLogger(__name__)

_HTTP_TIMEOUT = 30.0
"""Seconds for an HTTP hook's answer."""


class PodHooks:
    """Belongs to one worker's task; ``tasks`` owns the hooks."""

    def __init__(self, checks: Checks, events: PodEvents, tasks: asyncio.TaskGroup, wake: Callable[[], object]) -> None:
        self._checks, self._events = checks, events
        self._tasks, self._wake = tasks, wake
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, Failure] = {}

    @property
    def not_started(self) -> set[str]:
        """Containers whose postStart hook still runs."""
        return {id for id, task in self._starting.items() if not task.done()}

    @property
    def failures(self) -> Mapping[str, Failure]:
        """Containers whose postStart hook failed."""
        return self._failures

    def post_start(self, pod: core_v1.Pod, target: Target) -> None:
        """A container was just started."""
        handler = target.spec.lifecycle.post_start if target.spec.lifecycle else None
        if handler is not None:
            self._starting[target.record.id] = self._tasks.create_task(
                self._run_post_start(pod, handler, target), name=f"postStart {target.record.id[:12]}"
            )

    def pre_stop(self, pod: core_v1.Pod, target: Target) -> bool:
        """Run the hook if there is one and it was not run yet; True once it has ended."""
        handler = target.spec.lifecycle.pre_stop if target.spec.lifecycle else None
        if handler is None or target.record.id in self._failures:
            return True
        task = self._stopping.get(target.record.id)
        if task is None:
            task = self._stopping[target.record.id] = self._tasks.create_task(
                self._run_pre_stop(pod, handler, target), name=f"preStop {target.record.id[:12]}"
            )
        return task.done()

    def forget(self, id: str) -> None:
        """The container has ended."""
        for hooks in (self._starting, self._stopping):
            if task := hooks.pop(id, None):
                task.cancel()
        self._failures.pop(id, None)

    def end(self) -> None:
        for id in [*self._starting, *self._stopping]:
            self.forget(id)

    async def _run_post_start(self, pod: core_v1.Pod, handler: core_v1.LifecycleHandler, target: Target) -> None:
        outcome = await self._execute(handler, target)
        if not outcome.ok:
            self._failures[target.record.id] = Failure("FailedPostStartHook")
            message = f"PostStartHook failed: {outcome.message}"
            self._events.warning(pod, "FailedPostStartHook", message, target.spec.name)
        asyncio.get_running_loop().call_soon(self._wake)  # once this task is done

    async def _run_pre_stop(self, pod: core_v1.Pod, handler: core_v1.LifecycleHandler, target: Target) -> None:
        outcome = await self._execute(handler, target)
        if not outcome.ok:
            message = f"PreStopHook failed: {outcome.message}"
            self._events.warning(pod, "FailedPreStopHook", message, target.spec.name)
        asyncio.get_running_loop().call_soon(self._wake)

    async def _execute(self, handler: core_v1.LifecycleHandler, target: Target) -> Outcome:
        try:
            if handler.exec is not None:
                return await self._checks.command(handler.exec.command or [], target, None)
            if handler.http_get is not None:
                return await self._checks.http_get(handler.http_get, target, _HTTP_TIMEOUT)
            if handler.sleep is not None:
                await asyncio.sleep(handler.sleep.seconds)
                return Outcome(True)
        except InvalidAction as exc:
            return Outcome(False, str(exc))
        except Exception as exc:  # a fault in one hook must not take the kubelet down
            log.exception("container %s: hook failed", target.record.id[:12])
            return Outcome(False, repr(exc))
        return Outcome(False, "invalid handler: no action")
