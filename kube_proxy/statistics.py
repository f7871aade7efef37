"""What the data plane reports about each service port and its backends: summed up, exported as metrics, and watched.

Owns the sums of all workers. Numbers are the data plane's for its ports. A service whose clients have not reached any
endpoint for a while is reported in an event.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kube_proxy.dataplane.messages import CONNECT_BUCKETS, BackendStats, PortStats

log = logging.getLogger(__name__)

FAILING_FOR = 3.0
"""Seconds without a success, while clients try, after which a service counts as failing."""
REPEAT = 600.0
"""Seconds between two reports of one that goes on failing."""
FORGOTTEN_AFTER = 60.0
"""Seconds without a try after which an earlier failure is no sign of a later one."""

OnFailing = Callable[[int, str], object]


@dataclass
class BackendTotals:
    """Of one backend of one service port; the fields as in ``BackendStats``."""

    connections: int = 0
    errors: int = 0
    timeouts: int = 0
    bytes_to_backend: int = 0
    bytes_to_client: int = 0
    connect_seconds: float = 0.0
    connect_latency: list[int] = field(default_factory=lambda: [0] * (len(CONNECT_BUCKETS) + 1))
    open_by_worker: dict[int, int] = field(default_factory=dict)

    @property
    def open(self) -> int:
        return sum(self.open_by_worker.values())

    def add(self, worker: int, stats: BackendStats) -> None:
        self.connections += stats.connections
        self.errors += stats.errors
        self.timeouts += stats.timeouts
        self.bytes_to_backend += stats.bytes_to_backend
        self.bytes_to_client += stats.bytes_to_client
        self.connect_seconds += stats.connect_seconds
        self.connect_latency = [a + b for a, b in zip(self.connect_latency, stats.connect_latency, strict=True)]
        self.open_by_worker[worker] = stats.open


@dataclass
class PortTotals:
    """Of one service port."""

    name: str
    protocol: str
    refused: int = 0
    unreachable: int = 0
    retries: int = 0
    backends: dict[str, BackendTotals] = field(default_factory=dict)
    failing_since: float | None = None
    last_failure: float = 0.0
    reported_failing: float | None = None


class Statistics(Collector):
    def __init__(self, on_failing: OnFailing = lambda number, message: None) -> None:
        """``on_failing`` is called with a port's number and a message when its clients have been failing for a while."""
        self.on_failing = on_failing
        self._ports: dict[int, PortTotals] = {}

    def add_port(self, number: int, name: str, protocol: str) -> None:
        self._ports[number] = PortTotals(name, protocol)

    def remove_port(self, number: int) -> None:
        self._ports.pop(number, None)

    def of(self, number: int) -> PortTotals:
        return self._ports[number]

    def keep_backends(self, number: int, current: set[str]) -> None:
        """Forget the backends that are neither current nor have anything open."""
        port = self._ports[number]
        port.backends = {name: totals for name, totals in port.backends.items() if name in current or totals.open}

    def report(self, worker: int, stats: PortStats, now: float | None = None) -> None:
        """Add a worker's report; ``now`` is monotonic, in seconds."""
        port = self._ports.get(stats.port)
        if port is None:
            return  # no longer served
        port.refused += stats.refused
        port.unreachable += stats.unreachable
        port.retries += stats.retries
        for name, backend in stats.backends.items():
            port.backends.setdefault(name, BackendTotals()).add(worker, backend)
        self._watch(port, stats, time.monotonic() if now is None else now)

    def worker_gone(self, worker: int) -> None:
        """Its connections are gone."""
        for port in self._ports.values():
            for backend in port.backends.values():
                backend.open_by_worker.pop(worker, None)

    def collect(self) -> Iterator[Metric]:
        labels = ("service", "protocol")
        totals = {
            "refused": CounterMetricFamily("kubeproxy_service_refused", "Clients without an endpoint.", labels=labels),
            "unreachable": CounterMetricFamily(
                "kubeproxy_service_unreachable", "Clients given up, no backend could be reached.", labels=labels
            ),
            "retries": CounterMetricFamily(
                "kubeproxy_service_retries", "Backends tried after the first one.", labels=labels
            ),
        }
        for port in self._ports.values():
            for name, family in totals.items():
                family.add_metric((port.name, port.protocol), getattr(port, name))
        yield from totals.values()
        yield from self._collect_backends((*labels, "backend"))

    def _collect_backends(self, labels: tuple[str, ...]) -> Iterator[Metric]:
        connections = CounterMetricFamily(
            "kubeproxy_backend_connections", "Connections made, or UDP flows begun.", labels=labels
        )
        failures = CounterMetricFamily(
            "kubeproxy_backend_connect_failures", "Attempts that failed.", labels=(*labels, "reason")
        )
        traffic = CounterMetricFamily(
            "kubeproxy_backend_traffic_bytes", "Bytes forwarded.", labels=(*labels, "direction")
        )
        latency = HistogramMetricFamily(
            "kubeproxy_backend_connect_duration_seconds", "Time until the backend took a connection.", labels=labels
        )
        flows = GaugeMetricFamily("kubeproxy_backend_open", "Connections or flows open now.", labels=labels)
        for port in self._ports.values():
            for name, totals in port.backends.items():
                values = (port.name, port.protocol, name)
                connections.add_metric(values, totals.connections)
                failures.add_metric((*values, "error"), totals.errors)
                failures.add_metric((*values, "timeout"), totals.timeouts)
                traffic.add_metric((*values, "to_backend"), totals.bytes_to_backend)
                traffic.add_metric((*values, "to_client"), totals.bytes_to_client)
                flows.add_metric(values, totals.open)
                if port.protocol == "TCP":
                    latency.add_metric(values, _buckets(totals.connect_latency), totals.connect_seconds)
        yield from (connections, failures, traffic, latency, flows)

    def _watch(self, port: PortTotals, stats: PortStats, now: float) -> None:
        if any(backend.connections for backend in stats.backends.values()):
            port.failing_since = port.reported_failing = None
            return
        if not stats.unreachable:
            return
        if port.failing_since is None or now - port.last_failure > FORGOTTEN_AFTER:
            port.failing_since = now
        port.last_failure = now
        is_news = port.reported_failing is None or now - port.reported_failing >= REPEAT
        if is_news and now - port.failing_since >= FAILING_FOR:
            port.reported_failing = now
            tried = [name for name, backend in stats.backends.items() if backend.errors or backend.timeouts]
            last = f"; last tried: {', '.join(tried)}" if tried else ""  # none where there is no endpoint on this node
            self.on_failing(stats.port, f"{port.name}: no endpoint could be reached{last}")


def _buckets(counts: list[int]) -> list[tuple[str, float]]:
    running, buckets = 0, []
    for bound, count in zip((*map(str, CONNECT_BUCKETS), "+Inf"), counts, strict=True):
        running += count
        buckets.append((bound, float(running)))
    return buckets
