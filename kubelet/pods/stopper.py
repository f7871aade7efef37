"""Graceful stops of one pod's containers: the preStop hook, the stop signal, a deadline, SIGKILL.

No call waits: ``stop`` says when the next step is due, and the engine's ``die`` event wakes the worker before that. A
grace period that gets shorter while a container is stopping counts from then. The hook is part of the grace period, but
a container always has a moment between its stop signal and SIGKILL.
"""

import time
from collections.abc import Callable

from kubelet.runtime import ContainerRecord, Runtime

_KILL_AGAIN = 5.0
"""Seconds after which a container that survived SIGKILL (a process stuck in the kernel) gets another."""

_MIN_AFTER_HOOK = 2.0
"""Seconds between the stop signal and SIGKILL when the hook has used up the grace period."""


class Stopper:
    def __init__(self, runtime: Runtime, clock: Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._clock = clock
        self._deadlines: dict[str, float] = {}
        self._signalled: set[str] = set()

    def is_stopping(self, record: ContainerRecord) -> bool:
        return record.id in self._deadlines

    async def stop(self, record: ContainerRecord, grace: float, *, hook_done: bool = True) -> float:
        """Go on stopping a container; seconds until the next step is due.

        ``hook_done`` is whether its preStop hook has ended; without any grace it is not waited for.
        """
        now, id = self._clock(), record.id
        known = self._deadlines.get(id)
        deadline = self._deadlines[id] = min(now + grace, known if known is not None else now + grace)
        if id not in self._signalled and grace > 0:
            if now < deadline and not hook_done:
                return deadline - now
            if known is not None:
                self._deadlines[id] = max(deadline, now + _MIN_AFTER_HOOK)
            self._signalled.add(id)
            await self._runtime.signal(id, record.stop_signal)
        elif now >= deadline:
            await self._runtime.signal(id, "SIGKILL")
            self._deadlines[id] = now + _KILL_AGAIN
        return max(0.0, self._deadlines[id] - self._clock())

    def forget(self, id: str) -> None:
        self._deadlines.pop(id, None)
        self._signalled.discard(id)
