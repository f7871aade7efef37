"""Watch fan-out: one config map changes, hundreds of watchers receive it. How much does an event cost, and how late is it?

A change's clock starts right before its PUT is sent, so a delay holds the write to etcd as well.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO

from benchmarks.api import Subjects, namespace
from benchmarks.children import module, talking_child
from benchmarks.endpoint import Endpoint, Object, Session
from benchmarks.errors import BenchmarkError
from benchmarks.measure import median
from benchmarks.procfs import cpu_seconds, tree
from benchmarks.report import Row
from benchmarks.settings import Settings
from benchmarks.watchers import STAMP, Job, Outcome

NAME = "fan-out"


@dataclass(frozen=True)
class Run:
    outcome: Outcome
    expected: int
    seconds: float
    server_cpu: float | None
    """Seconds of CPU, where the server's process is known."""


def measure(subjects: Subjects, settings: Settings) -> list[Row]:
    """Three rows for each subject (two where its process is unknown); their runs alternate."""
    runs_by_subject: dict[str, list[Run]] = {name: [] for name, _ in subjects}
    for _ in range(settings.runs):
        for name, endpoint in subjects:
            runs_by_subject[name].append(_run(endpoint, settings))
    return [row for name, runs in runs_by_subject.items() for row in _rows(name, runs)]


def _run(endpoint: Endpoint, settings: Settings) -> Run:
    with endpoint.session() as session, namespace(session) as created:
        path = f"/api/v1/namespaces/{created}/configmaps"
        made = session.create(path, config_map(0))
        changes = round(settings.fanout_seconds * settings.changes_per_second)
        host, port = endpoint.address
        query = f"watch=1&fieldSelector=metadata.name%3D{NAME}&resourceVersion={made['metadata']['resourceVersion']}"
        events = changes * settings.watchers
        job = Job(host, port, f"{path}?{query}", endpoint.token, settings.watchers, events)
        with _watching(job) as answers:
            pids = tree(endpoint.pid) if endpoint.pid else []
            before, began = cpu_seconds(pids), time.monotonic()
            _change(session, f"{path}/{NAME}", changes, 1 / settings.changes_per_second)
            outcome = Outcome(**json.loads(_line(answers)))
            spent = cpu_seconds(pids) - before if pids else None
            return Run(outcome, events, time.monotonic() - began, spent)


def config_map(stamp: int) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": {STAMP: str(stamp)}}


@contextmanager
def _watching(job: Job) -> Iterator[IO[bytes]]:
    """The watchers' process, all its watches open; its next line is the outcome."""
    with talking_child(module("benchmarks.watchers")) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        process.stdin.flush()
        if _line(process.stdout).strip() != b"ready":
            raise BenchmarkError("the watchers did not get ready")
        yield process.stdout


def _line(answers: IO[bytes]) -> bytes:
    line = answers.readline()
    if not line:
        raise BenchmarkError("the watchers ended; their words are above")
    return line


def _change(session: Session, path: str, changes: int, pause: float) -> None:
    """Change the config map at a steady pace."""
    began = time.monotonic()
    for number in range(changes):
        time.sleep(max(0.0, began + number * pause - time.monotonic()))
        session.call("PUT", path, config_map(time.monotonic_ns()))


def _rows(subject: str, runs: Sequence[Run]) -> list[Row]:
    lost = sum(run.expected - run.outcome.delivered for run in runs)
    note = f"{lost} events never came" if lost else ""
    details = {"runs": [asdict(run) for run in runs]}

    def row(work: str, unit: str, samples: Sequence[float], note: str = note) -> Row:
        return Row(work, samples, unit, subject, details=details, note=note)

    rows = [
        row("fanout-p50", "ms", [run.outcome.p50_ms for run in runs]),
        row("fanout-p99", "ms", [run.outcome.p99_ms for run in runs]),
    ]
    costs = [(run.server_cpu, run) for run in runs if run.server_cpu is not None]
    if costs:
        samples = [cpu * 1e6 / run.outcome.delivered for cpu, run in costs]
        busy = median([cpu / run.seconds for cpu, run in costs])
        rows.insert(0, row("fanout-cpu", "us", samples, f"server {busy:.0%} of a core"))
    return rows
