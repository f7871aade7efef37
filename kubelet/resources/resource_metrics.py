"""``/metrics/resource``: what the node, its pods and their containers use, by Kubernetes' names, for Prometheus to read.

CPU time and memory are those of the last sample, whose time each line contains; counters last as long as a container.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from apimachinery import meta
from kubelet.resources.stats import Stats
from kubelet.resources.usage import Usage


@dataclass
class _Family:
    name: str
    type: str
    help: str
    lines: list[str] = field(default_factory=list)

    def text(self) -> Iterator[str]:
        yield f"# HELP {self.name} [STABLE] {self.help}"
        yield f"# TYPE {self.name} {self.type}"
        yield from self.lines


class _Families:
    """The metrics of nodes, pods or containers."""

    def __init__(self, kind: str, at: float) -> None:
        self._at = f" {int(at * 1000)}"
        what = f"of the {kind}"
        self._cpu = _Family(f"{kind}_cpu_usage_seconds_total", "counter", f"Cumulative cpu time {what} in core-seconds")
        self._memory = _Family(f"{kind}_memory_working_set_bytes", "gauge", f"Current working set {what} in bytes")
        self._start = _Family(f"{kind}_start_time_seconds", "gauge", f"Start time {what} since unix epoch in seconds")

    def add(self, labels: str, usage: Usage | None, started: str | None = None) -> None:
        if usage is None:
            return
        self._cpu.lines.append(f"{self._cpu.name}{labels} {usage.cpu / 1e9:.6f}{self._at}")
        self._memory.lines.append(f"{self._memory.name}{labels} {usage.working_set}{self._at}")
        if started:
            seconds = meta.parse_time(started).timestamp()
            self._start.lines.append(f"{self._start.name}{labels} {seconds:.3f}")

    def text(self) -> Iterator[str]:
        for family in (self._cpu, self._memory, self._start):
            if family.lines:
                yield from family.text()


def resource_metrics_text(stats: Stats) -> str:
    now = stats.now
    node, container, pod = (_Families(kind, now.at) for kind in ("node", "container", "pod"))
    node.add("", now.node)
    for sandbox, members in stats.running_pods():
        where = f'namespace="{sandbox.pod_namespace}",pod="{sandbox.pod_name}"'
        for record in members:
            labels = f'{{container="{record.name}",{where}}}'
            container.add(labels, now.containers.get(record.id), record.started_at)
        pod.add(f"{{{where}}}", stats.usage_of_pod(sandbox.pod_uid))
    failed = int(now.node is None)
    lines = [line for families in (container, node, pod) for line in families.text()]
    for name, stability in (("resource_scrape_error", "STABLE"), ("scrape_error", "ALPHA")):
        help = "1 if there was an error while getting container metrics, 0 otherwise"
        lines += [f"# HELP {name} [{stability}] {help}", f"# TYPE {name} gauge", f"{name} {failed}"]
    return "\n".join([*lines, ""])
