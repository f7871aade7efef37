"""How a probe's results count: thresholds, and when to probe again. Pure."""

from apimachinery.types import core_v1

_EAGER = 0.1
"""Seconds after which a container that has just started is probed again; doubled each time, up to the period."""


class Counter:
    """One probe of one running container. ``passing`` is its current state."""

    def __init__(self, probe: core_v1.Probe, *, passing: bool, eager: bool) -> None:
        """``eager`` probes wait for a container to become ready.

        Until the first success they probe at short intervals, for no longer than the probe's period in all; failures
        do not count meanwhile.
        """
        self.period = float(probe.period_seconds or 10)
        self._needed = {True: probe.success_threshold or 1, False: probe.failure_threshold or 3}
        self.passing = passing
        self._last: bool | None = None
        self._run = 0
        self._pause = _EAGER if eager and not passing else self.period

    @property
    def is_warming_up(self) -> bool:
        return self._pause < self.period

    def count(self, ok: bool) -> bool:
        """Count a result; whether its threshold is reached, so that ``passing`` is up to date."""
        if self.is_warming_up and not ok:
            return False
        self._run = self._run + 1 if ok == self._last else 1
        self._last = ok
        if self._run < self._needed[ok]:
            return False
        self.passing = ok
        return True

    def next_pause(self) -> float:
        """Seconds until the next probe."""
        if self._last is not None:
            self._pause = self.period
            return self.period
        pause, self._pause = self._pause, min(self.period, self._pause * 2)
        return pause
