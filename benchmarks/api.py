"""GET, LIST and POST against an apiserver: requests a second, and the server's CPU time for each.

Works in a namespace of its own that goes at the end. Its pods name a scheduler that does not exist, so that on a
cluster that works they stay where they are: in the API.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from benchmarks import load
from benchmarks.endpoint import Endpoint, Object, Session
from benchmarks.errors import BenchmarkError
from benchmarks.load import Job, Outcome
from benchmarks.report import Row
from benchmarks.settings import Settings

Subjects = Sequence[tuple[str, Endpoint]]
"""Who is measured: a name for the rows, and where it is."""


def pod(name: str, scheduler: str = "benchmark") -> Object:
    """A pod as people write them: a container with a port, environment and requests."""
    container = {
        "name": "server",
        "image": "nginx:1.25",
        "ports": [{"containerPort": 80}],
        "env": [{"name": "MODE", "value": "production"}, {"name": "LEVEL", "value": "info"}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "benchmark", "tier": "backend"}},
        "spec": {
            "schedulerName": scheduler,
            "automountServiceAccountToken": False,
            "containers": [container],
        },
    }


@contextmanager
def namespace(session: Session) -> Iterator[str]:
    """A namespace for the block, with all that is in it."""
    name = f"benchmark-{secrets.token_hex(4)}"
    session.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield name
    finally:
        with suppress(BenchmarkError):  # the error that led here is the one to report
            session.delete(f"/api/v1/namespaces/{name}/pods")
            session.delete(f"/api/v1/namespaces/{name}")


def create_pods(session: Session, path: str, count: int, scheduler: str = "benchmark") -> None:
    """Pods ``pod-0`` and so on. The first may have to wait for the namespace's service account to be made."""
    deadline = time.monotonic() + 15
    for number in range(count):
        document = pod(f"pod-{number}", scheduler)
        while True:
            try:
                session.create(path, document)
                break
            except BenchmarkError:
                if number or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def measure(subjects: Subjects, settings: Settings, work: str) -> list[Row]:
    """The rows of ``get``, ``list`` or ``post``. The subjects' runs alternate: a noisy minute strikes them all."""
    jobs: dict[str, Callable[[Endpoint, str], Job]] = {
        "get": lambda at, path: _job(at, f"{path}/pod-0", settings),
        "list": lambda at, path: _job(at, path, settings, connections=settings.list_connections),
        "list-gzip": lambda at, path: _job(at, path, settings, connections=settings.list_connections, gzip=True),
        "post": lambda at, path: _job(at, path, settings, method="POST", body=json.dumps(pod("@NAME@"))),
    }
    names = [name for name in jobs if name == work or name == f"{work}-gzip"]
    with _prepared(subjects, settings.list_pods if work == "list" else 1) as prepared:
        return [row for name in names for row in _alternate(name, prepared, jobs[name], settings)]


@contextmanager
def _prepared(subjects: Subjects, pods: int) -> Iterator[list[tuple[str, Endpoint, str]]]:
    """Each subject with the path of a namespace's pods."""
    if not subjects:
        yield []
        return
    name, endpoint = subjects[0]
    with endpoint.session() as session, namespace(session) as created:
        path = f"/api/v1/namespaces/{created}/pods"
        create_pods(session, path, pods)
        with _prepared(subjects[1:], pods) as rest:
            yield [(name, endpoint, path), *rest]


def _job(
    endpoint: Endpoint,
    path: str,
    settings: Settings,
    *,
    connections: int | None = None,
    gzip: bool = False,
    method: str = "GET",
    body: str = "",
) -> Job:
    host, port = endpoint.address
    return Job(
        host=host,
        port=port,
        path=path,
        connections=connections or settings.connections,
        seconds=settings.duration,
        tls=True,
        token=endpoint.token,
        gzip=gzip,
        method=method,
        body=body,
    )


def _alternate(
    work: str,
    prepared: Sequence[tuple[str, Endpoint, str]],
    job: Callable[[Endpoint, str], Job],
    settings: Settings,
) -> list[Row]:
    outcomes: dict[str, list[Outcome]] = {name: [] for name, _, _ in prepared}
    for number in range(settings.runs + 1):
        for name, endpoint, path in prepared:
            measured = job(endpoint, path)
            if number == 0:
                load.run(replace(measured, seconds=settings.warmup))
            else:
                outcomes[name].append(load.run(measured, endpoint.pid))
    return [_row(work, name, runs) for name, runs in outcomes.items()]


def _row(work: str, subject: str, outcomes: Sequence[Outcome]) -> Row:
    middle = sorted(outcomes, key=lambda outcome: outcome.rate)[len(outcomes) // 2]
    cpu = "" if middle.server_cpu_us is None else f"server {middle.server_cpu_us:,.0f} us CPU each, "
    return Row(
        work,
        [outcome.rate for outcome in outcomes],
        "/s",
        subject,
        details={"generator": load.generator(), "runs": [outcome.details() for outcome in outcomes]},
        note=f"{cpu}p50 {middle.p50_ms:.1f} ms, p99 {middle.p99_ms:.1f} ms",
    )
