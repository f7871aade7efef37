"""Metrics in Prometheus' format.

One process is one daemon, so the registry is prometheus_client's default one, which also reports the process
(memory, CPU, descriptors) and Python. The classes here are for hot paths: an increment is one dictionary operation
without prometheus_client's lock, since a daemon counts only in its event loop's thread. Elsewhere use
prometheus_client's classes.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client import REGISTRY as registry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

__all__ = ["Counter", "Gauge", "Histogram", "exposition", "registry", "routes"]

Labels = tuple[str, ...]

SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
"""Bounds of buckets for requests, close to the apiserver's own."""


class Counter(Collector):
    """A number that only grows, per combination of label values. ``name`` without ``_total``."""

    def __init__(
        self, name: str, help: str, labels: Sequence[str] = (), registry: CollectorRegistry = registry
    ) -> None:
        self._name, self._help, self._labels = name, help, tuple(labels)
        self._values: dict[Labels, float] = {} if labels else {(): 0.0}
        registry.register(self)

    def inc(self, *labels: str, by: float = 1.0) -> None:
        values = self._values
        values[labels] = values.get(labels, 0.0) + by

    def get(self, *labels: str) -> float:
        return self._values.get(labels, 0.0)

    def total(self, *first: str) -> float:
        """The sum over all combinations that begin with these label values."""
        return sum(value for labels, value in self._values.items() if labels[: len(first)] == first)

    def remove(self, *labels: str) -> None:
        self._values.pop(labels, None)

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        yield family


class Gauge(Collector):
    """A number that goes up and down; with ``read`` it is read at exposition."""

    def __init__(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        read: Callable[[], float] | None = None,
        registry: CollectorRegistry = registry,
    ) -> None:
        self._name, self._help, self._labels = name, help, tuple(labels)
        self._read = read
        self._values: dict[Labels, float] = {} if labels or read else {(): 0.0}
        registry.register(self)

    def set(self, value: float, *labels: str) -> None:
        self._values[labels] = value

    def add(self, by: float, *labels: str) -> None:
        self._values[labels] = self._values.get(labels, 0.0) + by

    def get(self, *labels: str) -> float:
        return self._values.get(labels, 0.0)

    def total(self, *first: str) -> float:
        """The sum over all combinations that begin with these label values."""
        return sum(value for labels, value in self._values.items() if labels[: len(first)] == first)

    def remove(self, *labels: str) -> None:
        self._values.pop(labels, None)

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._help, labels=self._labels)
        if self._read is not None:
            family.add_metric((), self._read())
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        yield family


class Histogram(Collector):
    """How often a value fell below each bound; ``buckets`` in ascending order."""

    def __init__(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = SECONDS,
        registry: CollectorRegistry = registry,
    ) -> None:
        self._name, self._help, self._labels = name, help, tuple(labels)
        self._bounds = tuple(buckets)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        registry.register(self)

    def observe(self, value: float, *labels: str) -> None:
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(self._bounds) + 1)
            self._sums[labels] = 0.0
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] += value

    def remove(self, *labels: str) -> None:
        self._counts.pop(labels, None)
        self._sums.pop(labels, None)

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        names = [*map(str, self._bounds), "+Inf"]
        for labels, counts in self._counts.items():
            running, buckets = 0, []
            for name, count in zip(names, counts, strict=True):
                running += count
                buckets.append((name, float(running)))
            family.add_metric(labels, buckets, self._sums[labels])
        yield family


def exposition(collector: Collector = registry) -> bytes:
    """All metrics of a registry, or of one collector, as text."""
    return generate_latest(collector)


def response(collector: Collector = registry) -> Response:
    return Response(exposition(collector), headers={"content-type": CONTENT_TYPE_LATEST})


def routes() -> list[BaseRoute]:
    """``/metrics``, for a Starlette or FastAPI application."""

    async def serve(request: Request) -> Response:
        return response()

    return [Route("/metrics", serve, include_in_schema=False)]
