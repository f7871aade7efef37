"""What the data plane tells of each service port and each of its backends: kept, shown as metrics, and watched.

Owns the sums of all workers. Numbers are the data plane's for its ports. A service to which no connection has come
about for a while, though clients try, is told as an event on it.
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
"""Seconds without a success, while clients try, after which a service is said to be failing."""
REPEAT = 600.0
"""Seconds after which it is said again, if it goes on."""
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

    def add(self, worker: int, told: BackendStats) -> None:
        self.connections += told.connections
        self.errors += told.errors
        self.timeouts += told.timeouts
        self.bytes_to_backend += told.bytes_to_backend
        self.bytes_to_client += told.bytes_to_client
        self.connect_seconds += told.connect_seconds
        self.connect_latency = [a + b for a, b in zip(self.connect_latency, told.connect_latency, strict=True)]
        self.open_by_worker[worker] = told.open


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
    told_failing: float | None = None


class Statistics(Collector):
    def __init__(self, on_failing: OnFailing = lambda number, message: None) -> None:
        """``on_failing`` gets a port's number and what to say, when its clients have been failing for a while."""
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
        port.backends = {name: one for name, one in port.backends.items() if name in current or one.open}

    def report(self, worker: int, stats: PortStats, now: float | None = None) -> None:
        """What a worker tells; ``now`` is monotonic, in seconds."""
        port = self._ports.get(stats.port)
        if port is None:
            return  # no longer served
        port.refused += stats.refused
        port.unreachable += stats.unreachable
        port.retries += stats.retries
        for name, told in stats.backends.items():
            port.backends.setdefault(name, BackendTotals()).add(worker, told)
        self._watch(port, stats, time.monotonic() if now is None else now)

    def worker_gone(self, worker: int) -> None:
        """What was open in it is not any more."""
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
            for name, one in port.backends.items():
                values = (port.name, port.protocol, name)
                connections.add_metric(values, one.connections)
                failures.add_metric((*values, "error"), one.errors)
                failures.add_metric((*values, "timeout"), one.timeouts)
                traffic.add_metric((*values, "to_backend"), one.bytes_to_backend)
                traffic.add_metric((*values, "to_client"), one.bytes_to_client)
                flows.add_metric(values, one.open)
                if port.protocol == "TCP":
                    latency.add_metric(values, _buckets(one.connect_latency), one.connect_seconds)
        yield from (connections, failures, traffic, latency, flows)

    def _watch(self, port: PortTotals, stats: PortStats, now: float) -> None:
        if any(backend.connections for backend in stats.backends.values()):
            port.failing_since = port.told_failing = None
            return
        if not stats.unreachable:
            return
        if port.failing_since is None or now - port.last_failure > FORGOTTEN_AFTER:
            port.failing_since = now
        port.last_failure = now
        is_news = port.told_failing is None or now - port.told_failing >= REPEAT
        if is_news and now - port.failing_since >= FAILING_FOR:
            port.told_failing = now
            failing = ", ".join(name for name, one in stats.backends.items() if one.errors or one.timeouts)
            self.on_failing(stats.port, f"{port.name}: no endpoint could be reached; last tried: {failing}")


def _buckets(counts: list[int]) -> list[tuple[str, float]]:
    running, found = 0, []
    for bound, count in zip((*map(str, CONNECT_BUCKETS), "+Inf"), counts, strict=True):
        running += count
        found.append((bound, float(running)))
    return found
