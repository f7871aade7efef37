"""Which pressure conditions of the node hold now: the evictor sets them; node status and admission go by them."""

import logging
import time
from collections.abc import Callable, Iterable

log = logging.getLogger(__name__)

TRANSITION = 300.0
"""Seconds for which a condition stays after the pressure has gone, so that it does not flap."""


class NodePressures:
    """Belongs to the event loop."""

    def __init__(self, transition: float = TRANSITION, clock: Callable[[], float] = time.monotonic) -> None:
        self._transition, self._clock = transition, clock
        self._observed_at: dict[str, float] = {}
        self._reported: frozenset[str] = frozenset()
        self._listener: Callable[[], object] = lambda: None

    def on_change(self, listener: Callable[[], object]) -> None:
        """``listener`` is called when a condition begins or ends to hold."""
        self._listener = listener

    @property
    def current(self) -> frozenset[str]:
        """Of MemoryPressure, DiskPressure and PIDPressure, those that hold."""
        now = self._clock()
        return frozenset(name for name, at in self._observed_at.items() if now - at < self._transition)

    def observe(self, conditions: Iterable[str]) -> None:
        """The pressures that exist at this moment; to be called regularly, also without any."""
        self._observed_at.update(dict.fromkeys(conditions, self._clock()))
        if (current := self.current) != self._reported:
            self._reported = current
            log.info("node pressure: %s", ", ".join(sorted(current)) or "none")
            self._listener()
