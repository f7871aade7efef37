"""``/metrics/resource``: what the node, its pods and their containers use, by Kubernetes' names, for Prometheus to read.

CPU time and memory are those of the last sample, whose time each line contains; counters last as long as a container.
"""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from apimachinery import meta
from kubelet.resources.stats import Stats
from kubelet.resources.usage import Usage


class ResourceMetrics(Collector):
    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        now = self._stats.now
        of_node = _Families("node", (), now.at)
        of_node.add((), now.node)
        of_containers = _Families("container", ("container", "namespace", "pod"), now.at)
        of_pods = _Families("pod", ("namespace", "pod"), now.at)
        for sandbox, members in self._stats.running_pods():
            where = (sandbox.pod_namespace, sandbox.pod_name)
            for record in members:
                of_containers.add((record.name, *where), now.containers.get(record.id), record.started_at)
            of_pods.add(where, self._stats.usage_of_pod(sandbox.pod_uid))
        for families in (of_containers, of_node, of_pods):
            yield from families.all()
        for name, stability in (("resource_scrape_error", "STABLE"), ("scrape_error", "ALPHA")):
            help = f"[{stability}] 1 if there was an error while getting container metrics, 0 otherwise"
            yield GaugeMetricFamily(name, help, float(now.node is None))


class _Families:
    """The metrics of nodes, pods or containers."""

    def __init__(self, kind: str, labels: Sequence[str], at: float) -> None:
        self._at, what = at, f"of the {kind}"
        self._cpu = CounterMetricFamily(
            f"{kind}_cpu_usage_seconds_total", f"[STABLE] Cumulative cpu time {what} in core-seconds", labels=labels
        )
        self._memory = GaugeMetricFamily(
            f"{kind}_memory_working_set_bytes", f"[STABLE] Current working set {what} in bytes", labels=labels
        )
        self._start = GaugeMetricFamily(
            f"{kind}_start_time_seconds", f"[STABLE] Start time {what} since unix epoch in seconds", labels=labels
        )

    def add(self, labels: Sequence[str], usage: Usage | None, started: str | None = None) -> None:
        if usage is None:
            return
        self._cpu.add_metric(labels, usage.cpu / 1e9, timestamp=self._at)
        self._memory.add_metric(labels, usage.working_set, timestamp=self._at)
        if started:
            self._start.add_metric(labels, meta.parse_time(started).timestamp())

    def all(self) -> Iterator[Metric]:
        yield from (family for family in (self._cpu, self._memory, self._start) if family.samples)
