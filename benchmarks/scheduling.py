"""How fast the scheduler binds: pods that wait already, on nodes that exist only in the API (hollow nodes).

All pods are there before the scheduler starts, so that neither their creation nor the scheduler's start is part of
the figure: it counts from the first binding that a watch shows to the last.
"""

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.api import create_pods, namespace
from benchmarks.cluster import Cluster, Scheduler, loopback_cluster
from benchmarks.endpoint import Endpoint, Object, Session
from benchmarks.errors import BenchmarkError
from benchmarks.procfs import cpu_seconds
from benchmarks.report import Row
from benchmarks.settings import Settings

PATIENCE = 60.0
"""Seconds without any binding after which the measurement is given up."""


def hollow_node(number: int) -> Object:
    """A node of 32 cores that is ready, says the API, and has no kubelet."""
    room = {"cpu": "32", "memory": "64Gi", "pods": "110"}
    name = f"hollow-{number}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"capacity": room, "allocatable": room, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def measure(settings: Settings) -> list[Row]:
    with loopback_cluster() as cluster, cluster.endpoint.session() as session, namespace(session) as created:
        for number in range(settings.nodes):
            session.create("/api/v1/nodes", hollow_node(number))
        path = f"/api/v1/namespaces/{created}/pods"
        create_pods(session, path, settings.pods, "default-scheduler")
        return [_schedule(cluster, session, path, settings)]


def _schedule(cluster: Cluster, session: Session, path: str, settings: Settings) -> Row:
    version = session.get(path)["metadata"]["resourceVersion"]
    apiserver = [cluster.endpoint.pid] if cluster.endpoint.pid else []
    with _bindings(cluster.endpoint, f"{path}?watch=1&resourceVersion={version}") as bound:
        before, started = cpu_seconds(apiserver), time.monotonic()
        with cluster.scheduler() as scheduler:
            moments = _moments(bound, settings.pods, scheduler)
            spent = {"scheduler": cpu_seconds([scheduler.process.pid]), "apiserver": cpu_seconds(apiserver) - before}
    seconds = moments[-1] - moments[0]
    cpu_per_pod = {f"{name}_cpu_us_per_pod": round(value * 1e6 / settings.pods, 1) for name, value in spent.items()}
    details = {"pods": settings.pods, "nodes": settings.nodes, "seconds": round(seconds, 3), **cpu_per_pod}
    details["first_binding_after_start"] = round(moments[0] - started, 3)
    note = f"{settings.pods} pods on {settings.nodes} nodes"
    return Row("schedule", [(settings.pods - 1) / seconds], "/s", details=details, note=note)


def _moments(bound: "queue.SimpleQueue[float]", total: int, scheduler: Scheduler) -> list[float]:
    moments: list[float] = []
    deadline = time.monotonic() + PATIENCE
    while len(moments) < total:
        try:
            moments.append(bound.get(timeout=1))
            deadline = moments[-1] + PATIENCE
        except queue.Empty:
            scheduler.check()
            if time.monotonic() > deadline:
                raise BenchmarkError(
                    f"{len(moments)} of {total} pods were bound, then none for {PATIENCE:g} s"
                ) from None
    return moments


@contextmanager
def _bindings(endpoint: Endpoint, path: str) -> "Iterator[queue.SimpleQueue[float]]":
    """The moment of each binding, as observed by a watch of the pods."""
    moments: queue.SimpleQueue[float] = queue.SimpleQueue()
    opened = threading.Event()

    def follow() -> None:
        names = set()
        with endpoint.session() as session, session.stream(path) as lines:
            opened.set()
            for line in lines:
                pod = json.loads(line)["object"]
                name = pod["metadata"].get("name")
                if pod.get("spec", {}).get("nodeName") and name not in names:
                    names.add(name)
                    moments.put(time.monotonic())

    # a daemon thread: the watch ends with the server, after the block
    threading.Thread(target=follow, name="bindings", daemon=True).start()
    if not opened.wait(10):
        raise BenchmarkError("the watch of the pods does not open")
    yield moments
