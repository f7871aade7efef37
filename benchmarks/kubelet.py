"""What the kubelet costs with idle pods on its node, and how fast it starts many containers.

The pods sleep and have no probes: what is measured is the kubelet's own housekeeping. CPU time is what counts, since
it is the same on a busy machine; the start rate is of the step to the most pods, two containers each.
"""

import time

from benchmarks.endpoint import Session
from benchmarks.errors import BenchmarkError
from benchmarks.lab import NODE, endpoint_of
from benchmarks.pods import PODS, pod
from benchmarks.procfs import cpu_seconds, memory, tree
from benchmarks.report import Row
from benchmarks.settings import Settings
from deploy.lab import daemons, processes
from deploy.lab.lab import Lab

SETTLE = 5.0
"""Seconds after the last pod runs: statuses and events are written."""
PATIENCE = 120.0
_LABEL = "benchmark=idle-pod"
_MB = 1e6
_CONTAINERS = 2
"""Of each pod: the one that holds its network, and its own."""


def measure(lab: Lab, settings: Settings) -> list[Row]:
    """A row of CPU for each number of idle pods, the last one's with a target, and the start rate."""
    rows: list[Row] = []
    with endpoint_of(lab).session() as session:
        there = 0
        try:
            for count in settings.idle_pods:
                began = time.monotonic()
                _grow(session, there, count)
                rate = _CONTAINERS * (count - there) / (time.monotonic() - began)
                time.sleep(SETTLE)
                rows.append(_cost(lab, settings, count, last=count == settings.idle_pods[-1]))
                if count == settings.idle_pods[-1]:
                    note = f"from {there} pods to {count}"
                    rows.append(
                        Row("container-starts", [rate], "/s", title="containers started by one kubelet", note=note)
                    )
                there = count
        finally:
            session.delete(f"{PODS}?labelSelector={_LABEL}&gracePeriodSeconds=0")
    return rows


def _grow(session: Session, there: int, count: int) -> None:
    """Have ``count`` of our pods running, ``there`` of them are."""
    for number in range(there, count):
        session.create(PODS, pod(f"idle-{number}", _LABEL))
    deadline = time.monotonic() + PATIENCE
    while (running := _running(session)) < count:
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{count - running} of {count} idle pods did not run after {PATIENCE:g} s")
        time.sleep(0.25)  # a look takes the apiserver a moment, too


def _running(session: Session) -> int:
    pods = session.get(f"{PODS}?labelSelector={_LABEL}")["items"]
    return sum(pod["status"].get("phase") == "Running" for pod in pods)


def _cost(lab: Lab, settings: Settings, count: int, *, last: bool) -> Row:
    kubelet = next(row for row in daemons.table(lab) if row.key == f"{NODE}/kubelet")
    process = processes.running(lab, kubelet)
    if process is None:
        raise BenchmarkError("the kubelet does not run")
    pids = tree(process.pid)
    before, began = cpu_seconds(pids), time.monotonic()
    time.sleep(settings.idle_pods_seconds)
    share = (cpu_seconds(pids) - before) / (time.monotonic() - began)
    held = memory(pids)
    details = {"pods": count, "rss_mb": round(held.rss / _MB, 1), "pss_mb": round(held.pss / _MB, 1)}
    note = f"RSS {held.rss / _MB:.0f} MB, PSS {held.pss / _MB:.0f} MB"
    title = f"kubelet, CPU with {count} idle pods"
    return Row("kubelet-idle" if last else title, [share * 100], "%", title=title, details=details, note=note)
