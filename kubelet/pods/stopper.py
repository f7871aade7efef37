"""Graceful stops of one pod's containers: the preStop hook, the stop signal, a deadline, SIGKILL.

No call waits: ``stop`` says when to look again, and the engine's ``die`` event wakes the worker before that. A grace
period that gets shorter while a container is stopping counts from then. The hook takes its time out of the grace
period; a container is left a moment after it all the same.
"""

import time
from collections.abc import Callable

from kubelet.runtime import ContainerRecord, Runtime

_KILL_AGAIN = 5.0
"""Seconds after which a container that survived SIGKILL (a process stuck in the kernel) gets another."""

_LEAST_AFTER_HOOK = 2.0
"""Seconds between the stop signal and SIGKILL when the hook has used up the grace period."""


class Stopper:
    def __init__(self, runtime: Runtime, clock: Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._clock = clock
        self._deadlines: dict[str, float] = {}
        self._signalled: set[str] = set()

    def is_stopping(self, record: ContainerRecord) -> bool:
        return record.id in self._deadlines

    async def stop(self, record: ContainerRecord, grace: float, hook_done: Callable[[], bool] = lambda: True) -> float:
        """Go on stopping a container; seconds until the next step is due.

        ``hook_done`` begins the preStop hook when first asked. With no grace at all nothing is asked.
        """
        now, id = self._clock(), record.id
        known = self._deadlines.get(id)
        deadline = self._deadlines[id] = min(now + grace, known if known is not None else now + grace)
        if id not in self._signalled and grace > 0:
            if now < deadline and not hook_done():
                return deadline - now
            if known is not None:
                self._deadlines[id] = max(deadline, now + _LEAST_AFTER_HOOK)
            self._signalled.add(id)
            await self._runtime.signal(id, record.stop_signal)
        elif now >= deadline:
            await self._runtime.signal(id, "SIGKILL")
            self._deadlines[id] = now + _KILL_AGAIN
        return max(0.0, self._deadlines[id] - self._clock())

    def forget(self, id: str) -> None:
        self._deadlines.pop(id, None)
        self._signalled.discard(id)
