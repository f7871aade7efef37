"""How long a pod takes from the API call to Running, beside ``docker run`` of the same two containers.

Both use the same engine, images and network. One by one shows the latency; many at once shows how the parts behave when
they are busy: the figure is then the time until the last one runs.
"""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks.endpoint import Endpoint, Object, Session
from benchmarks.errors import BenchmarkError
from benchmarks.lab import NODE, endpoint_of
from benchmarks.measure import median, percentile
from benchmarks.report import PEER, Row
from benchmarks.settings import Settings
from deploy.images.build import PAUSE
from deploy.lab import engine
from deploy.lab.lab import Lab

PODS = "/api/v1/namespaces/default/pods"
IMAGE = "peapod/busybox:latest"
COMMAND = ["sh", "-c", "trap exit TERM; sleep 3600 & wait"]
"""An application that ends at once when it is asked to."""
LABEL = "benchmark=pod-start"
NETWORK = "peapod"
"""The node's pod network, as its kubelet has named it."""
PATIENCE = 60.0

Moment = tuple[str, str, float]
"""A pod's name, what became of it (Running, DELETED), and when."""


def measure(lab: Lab, settings: Settings) -> list[Row]:
    endpoint = endpoint_of(lab)
    with endpoint.session() as session, _following(endpoint, session) as moments:
        ours, docker = [], []
        for number in range(settings.starts):  # in turn: a noisy moment strikes both
            ours += _start_pods(session, moments, f"single-{number}", 1)
            docker += _docker_runs(lab, f"single-{number}", 1)
        together = _start_pods(session, moments, "together", settings.at_once)
        docker_together = _docker_runs(lab, "together", settings.at_once)
    return [
        *_rows("pod-start", "docker run", ours, docker),
        _at_once(together),
        _at_once(docker_together, PEER),
    ]


def _rows(work: str, peer: str, ours: list[float], theirs: list[float]) -> list[Row]:
    def row(subject: str, samples: list[float], words: str = "") -> Row:
        p99 = percentile(samples, 0.99)
        return Row(work, samples, "s", subject, details={"p99_s": p99}, note=f"{words}p99 {p99:.2f} s")

    return [row("Peapod", ours), row(PEER, theirs, f"{peer}, ")]


def _at_once(times: list[float], subject: str = "Peapod") -> Row:
    details = {"each": [round(seconds, 3) for seconds in times]}
    note = f"{len(times)} at once, half of them after {median(times):.2f} s"
    return Row("pods-at-once", [max(times)], "s", subject, details=details, note=note)


def pod(name: str, label: str = LABEL) -> Object:
    """One that sleeps until it is asked to end."""
    container = {"name": "app", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": COMMAND}
    key, _, value = label.partition("=")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {key: value}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 5},
    }


def _start_pods(session: Session, moments: "queue.SimpleQueue[Moment]", prefix: str, count: int) -> list[float]:
    """Seconds from each pod's API call to Running. All are gone when this returns."""
    called: dict[str, float] = {}
    took: dict[str, float] = {}
    for number in range(count):
        name = f"{prefix}-{number}"
        called[name] = time.monotonic()
        session.create(PODS, pod(name))
    _until(moments, "Running", set(called), lambda name, moment: took.setdefault(name, moment - called[name]))
    for name in called:
        session.delete(f"{PODS}/{name}")
    _until(moments, "DELETED", set(called), lambda name, moment: None)
    return list(took.values())


def _until(
    moments: "queue.SimpleQueue[Moment]", what: str, names: set[str], note: Callable[[str, float], object]
) -> None:
    while names:
        try:
            name, became, moment = moments.get(timeout=PATIENCE)
        except queue.Empty:
            raise BenchmarkError(f"{len(names)} pods were not {what} after {PATIENCE:g} s: {sorted(names)}") from None
        if became == what and name in names:
            note(name, moment)
            names.discard(name)


@contextmanager
def _following(endpoint: Endpoint, session: Session) -> "Iterator[queue.SimpleQueue[Moment]]":
    """What a watch shows of the benchmark's pods, which are gone after the block."""
    moments: queue.SimpleQueue[Moment] = queue.SimpleQueue()
    query = f"labelSelector={LABEL}"
    version = session.get(f"{PODS}?{query}")["metadata"]["resourceVersion"]
    opened = threading.Event()

    def follow() -> None:
        with endpoint.session() as own, own.stream(f"{PODS}?watch=1&{query}&resourceVersion={version}") as lines:
            opened.set()
            for line in lines:
                now, event = time.monotonic(), json.loads(line)
                pod = event["object"]
                phase = pod.get("status", {}).get("phase", "")
                became = "DELETED" if event["type"] == "DELETED" else phase
                moments.put((pod["metadata"].get("name", ""), became, now))

    # a daemon thread: its watch ends with the lab
    threading.Thread(target=follow, name="pods", daemon=True).start()
    if not opened.wait(10):
        raise BenchmarkError("the watch of the pods does not open")
    try:
        yield moments
    finally:
        session.delete(f"{PODS}?{query}")


def _docker_runs(lab: Lab, prefix: str, count: int) -> list[float]:
    """Seconds from the start until each pair of containers runs. All are gone when this returns."""
    began = time.monotonic()

    def start(number: int) -> float:
        pause = f"bench-{prefix}-{number}"
        shared = [f"--network=container:{pause}", f"--ipc=container:{pause}"]
        _docker_run(lab, pause, f"--network={NETWORK}", "--ipc=shareable", PAUSE)
        _docker_run(lab, f"{pause}-app", *shared, IMAGE, *COMMAND)
        return time.monotonic() - began

    try:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(start, range(count)))
    finally:
        ids = engine.containers(lab, NODE, f"label={LABEL}")
        if ids:
            engine.docker(lab, NODE, "rm", "--force", *ids)


def _docker_run(lab: Lab, name: str, *arguments: str) -> None:
    engine.docker(lab, NODE, "run", "--detach", f"--name={name}", f"--label={LABEL}", *arguments)
