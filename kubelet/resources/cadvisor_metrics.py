"""``/metrics/cadvisor``: what containers use, by the names and labels of cAdvisor, which dashboards are made for.

Of cAdvisor's metrics those that the kubelet measures itself, as of its last sample. ``container`` is empty for the
sandbox, whose network all containers of the pod share.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from apimachinery import meta
from kubelet.resources.stats import Stats
from kubelet.resources.usage import Traffic, Usage
from kubelet.runtime import ContainerRecord

_LABELS: Final = ("container", "id", "image", "name", "namespace", "pod")

_USAGE: Final[
    Sequence[tuple[type[CounterMetricFamily] | type[GaugeMetricFamily], str, str, Callable[[Usage], float]]]
] = (
    (
        CounterMetricFamily,
        "container_cpu_usage_seconds_total",
        "Cumulative cpu time consumed in seconds.",
        lambda usage: usage.cpu / 1e9,
    ),
    (
        GaugeMetricFamily,
        "container_memory_usage_bytes",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        lambda usage: usage.memory,
    ),
    (
        GaugeMetricFamily,
        "container_memory_working_set_bytes",
        "Current working set in bytes.",
        lambda usage: usage.working_set,
    ),
    (GaugeMetricFamily, "container_memory_rss", "Size of RSS in bytes.", lambda usage: usage.rss),
)

_TRAFFIC: Final[Sequence[tuple[str, str, Callable[[Traffic], int]]]] = (
    (
        "container_network_receive_bytes_total",
        "Cumulative count of bytes received",
        lambda traffic: traffic.received,
    ),
    (
        "container_network_transmit_bytes_total",
        "Cumulative count of bytes transmitted",
        lambda traffic: traffic.sent,
    ),
)


class CadvisorMetrics(Collector):
    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        now, pods = self._stats.now, [*self._stats.running_pods()]
        records = [record for sandbox, members in pods for record in (sandbox, *members)]
        for family, name, help, value in _USAGE:
            metric = family(name, help, labels=(*_LABELS, "cpu") if family is CounterMetricFamily else _LABELS)
            for record in records:
                if (usage := now.containers.get(record.id)) is not None:
                    labels = (*_labels(record), "total") if family is CounterMetricFamily else _labels(record)
                    metric.add_metric(labels, value(usage), timestamp=now.at)
            yield metric
        for name, help, amount in _TRAFFIC:
            metric = CounterMetricFamily(name, help, labels=(*_LABELS, "interface"))
            for sandbox, _ in pods:
                if (traffic := now.traffic.get(sandbox.id)) is not None:
                    metric.add_metric((*_labels(sandbox), "eth0"), amount(traffic), timestamp=now.at)
            yield metric
        yield _start_times(records)
        yield GaugeMetricFamily("machine_cpu_cores", "Number of logical CPU cores.", os.cpu_count())
        yield GaugeMetricFamily(
            "machine_memory_bytes", "Amount of memory installed on the machine.", self._stats.memory
        )


def _start_times(records: Iterable[ContainerRecord]) -> Metric:
    metric = GaugeMetricFamily(
        "container_start_time_seconds", "Start time of the container since unix epoch in seconds.", labels=_LABELS
    )
    for record in records:
        if record.started_at:
            metric.add_metric(_labels(record), meta.parse_time(record.started_at).timestamp())
    return metric


def _labels(record: ContainerRecord) -> tuple[str, ...]:
    container = "" if record.is_sandbox else record.name
    return container, f"/docker/{record.id}", record.image, record.id, record.pod_namespace, record.pod_name
