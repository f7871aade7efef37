"""What Prometheus reads about containers."""

from pathlib import Path
from typing import Any, cast

from component_base.metrics import exposition
from kubelet.resources import stats
from kubelet.resources.cadvisor_metrics import CadvisorMetrics
from kubelet.resources.resource_metrics import ResourceMetrics
from kubelet.resources.stats import Sample, Stats
from kubelet.resources.usage import Traffic, Usage
from kubelet.runtime import ContainerRecord
from kubelet.runtime.containers import Containers
from tests.unit.kubelet.records import record, sandbox

SAMPLE = Sample(
    at=1000.5,
    node=Usage(cpu=9_000_000_000, memory=4096, working_set=2048),
    containers={
        "main-0": Usage(cpu=1_500_000_000, memory=300, working_set=200, rss=100),
        "POD-0": Usage(cpu=500_000_000, memory=30, working_set=20, rss=10),
    },
    traffic={"POD-0": Traffic(received=7, sent=8)},
)


class Records:
    def all(self) -> list[ContainerRecord]:
        return [sandbox(), record()]

    def pod_uids(self) -> set[str]:
        return {"u"}

    def of_pod(self, uid: str) -> list[ContainerRecord]:
        return self.all()


def sampled() -> Stats:
    made = Stats("n1", 1 << 30, Path("/"), cast(Containers, Records()))
    made._now = SAMPLE
    return made


def lines(collector: Any) -> list[str]:
    return [line for line in exposition(collector).decode().splitlines() if not line.startswith("#")]


def test_resource_metrics() -> None:
    assert lines(ResourceMetrics(sampled())) == [
        'container_cpu_usage_seconds_total{container="main",namespace="default",pod="p"} 1.5 1000500',
        'container_memory_working_set_bytes{container="main",namespace="default",pod="p"} 200.0 1000500',
        'container_start_time_seconds{container="main",namespace="default",pod="p"} 1.7672256015e+09',
        "node_cpu_usage_seconds_total 9.0 1000500",
        "node_memory_working_set_bytes 2048.0 1000500",
        'pod_cpu_usage_seconds_total{namespace="default",pod="p"} 2.0 1000500',
        'pod_memory_working_set_bytes{namespace="default",pod="p"} 220.0 1000500',
        "resource_scrape_error 0.0",
        "scrape_error 0.0",
    ]


def test_cadvisor_metrics() -> None:
    where = 'image="app:1",name="{0}",namespace="default",pod="p"'
    pod = f'container="",id="/docker/POD-0",{where.format("POD-0")}'
    main = f'container="main",id="/docker/main-0",{where.format("main-0")}'
    text = lines(CadvisorMetrics(sampled()))
    for line in (
        f'container_cpu_usage_seconds_total{{{main},cpu="total"}} 1.5 1000500',
        f"container_memory_usage_bytes{{{main}}} 300.0 1000500",
        f"container_memory_working_set_bytes{{{pod}}} 20.0 1000500",
        f"container_memory_rss{{{main}}} 100.0 1000500",
        f'container_network_receive_bytes_total{{{pod},interface="eth0"}} 7.0 1000500',
        f'container_network_transmit_bytes_total{{{pod},interface="eth0"}} 8.0 1000500',
        f"container_start_time_seconds{{{main}}} 1.7672256015e+09",
        "machine_memory_bytes 1.073741824e+09",
    ):
        assert _sorted(line) in map(_sorted, text), "\n".join(text)


def _sorted(line: str) -> tuple[str, ...]:
    """Labels may come in any order."""
    return tuple(sorted(line.replace("{", ",").replace("}", ",").split(",")))


async def test_samples_never_go_back_in_time(monkeypatch: Any) -> None:
    moments = iter([100.0, 90.0, 110.0])
    made = Stats("n1", 1 << 30, Path("/"), cast(Containers, Records()), lambda: next(moments))
    monkeypatch.setattr(stats, "_sample", lambda running, at: Sample(at))
    times = []
    for _ in range(3):
        await made.sample()
        times.append(made.now.at)
    assert times == [100.0, 100.0, 110.0]
