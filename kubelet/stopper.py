"""Graceful stops of one pod's containers: the stop signal, a deadline, SIGKILL.

No call waits: ``stop`` says when to look again, and the engine's ``die`` event wakes the worker before that. A grace
period that gets shorter while a container is stopping counts from then.
"""

import time
from collections.abc import Callable

from kubelet.runtime import ContainerRecord, Runtime

_KILL_AGAIN = 5.0
"""Seconds after which a container that survived SIGKILL (a process stuck in the kernel) gets another."""


class Stopper:
    def __init__(self, runtime: Runtime, clock: Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._clock = clock
        self._deadlines: dict[str, float] = {}

    def is_stopping(self, record: ContainerRecord) -> bool:
        return record.id in self._deadlines

    async def stop(self, record: ContainerRecord, grace: float) -> float:
        """Go on stopping a container; seconds until the next step is due."""
        now = self._clock()
        known = self._deadlines.get(record.id)
        deadline = self._deadlines[record.id] = min(now + grace, known if known is not None else now + grace)
        if known is None and grace > 0:
            await self._runtime.signal(record.id, record.stop_signal)
        elif now >= deadline:
            await self._runtime.signal(record.id, "SIGKILL")
            self._deadlines[record.id] = now + _KILL_AGAIN
        return max(0.0, self._deadlines[record.id] - self._clock())

    def forget(self, id: str) -> None:
        self._deadlines.pop(id, None)
