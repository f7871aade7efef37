"""The scheduler's metrics, under kube-scheduler's names."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from component_base.metrics import Counter, Histogram, registry

_FINE: Final = tuple(0.00005 * 2**n for n in range(18))
"""50 us to 6.5 s: choosing a node takes a fraction of a millisecond."""

ATTEMPTS: Final = Counter("scheduler_schedule_attempts", "Attempts to schedule a pod, by result.", ["result"])
ATTEMPT_DURATION: Final = Histogram(
    "scheduler_scheduling_attempt_duration_seconds", "Seconds of one attempt, binding included.", ["result"], _FINE
)
ALGORITHM_DURATION: Final = Histogram(
    "scheduler_scheduling_algorithm_duration_seconds", "Seconds to choose a node.", buckets=_FINE
)


class PendingPods(Collector):
    """Pods that wait, by the part of the queue that they are in, read when collected."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("scheduler_pending_pods", "Pods that wait for a node.", labels=["queue"])
        for part, count in self._read().items():
            family.add_metric([part], float(count))
        yield family
