"""Connections through a service's address, from the node, beside direct ones to the same backend.

The backend is one process, put behind a service without a selector. It runs on the same node: what is measured is
the proxy, not the lab's virtual cables. New connections, keep-alive requests, what a lone request takes longer than a
direct one, and one bulk transfer; each run goes to all subjects in turn.
"""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import load
from benchmarks.children import child, module
from benchmarks.endpoint import Session
from benchmarks.errors import BenchmarkError
from benchmarks.lab import NODE, endpoint_of, on_node
from benchmarks.load import Job
from benchmarks.machine import CHECKOUT
from benchmarks.procfs import cpu_seconds, tree
from benchmarks.report import DIRECT, OURS, PEER, Row
from benchmarks.settings import Settings
from deploy.lab import daemons, namespaces, processes
from deploy.lab.lab import Lab

NAME, PORT, BACKEND_PORT = "benchmark", 80, 18080
READY = 20.0
WORKS = ("new", "keepalive", "latency", "bulk")
_DEFAULT = "/api/v1/namespaces/default"


@dataclass(frozen=True)
class Target:
    """Where the load goes, and from where (a command line that runs another in the right namespace)."""

    subject: str
    host: str
    port: int
    prefix: Sequence[str] = ()
    proxy: int | None = None
    """The process in between, whose CPU time is measured."""


@contextmanager
def lab_targets(lab: Lab, log: Path) -> Iterator[list[Target]]:
    """Our proxy's way to the backend, and the direct one."""
    backend = lab.node_address(NODE)
    listen = f"{backend}:{BACKEND_PORT}"
    # Each new connection leaves its port waiting for a minute; a client that makes thousands a second runs out.
    namespaces.call_in(lab.namespace(NODE), lambda: Path("/proc/sys/net/ipv4/tcp_tw_reuse").write_text("1"))
    with (
        child([*on_node(lab), *module("benchmarks.backend", "--listen", listen)], log),
        endpoint_of(lab).session() as session,
        _service(session, backend) as address,
    ):
        for host, port in ((backend, BACKEND_PORT), (address, PORT)):
            _wait(lab, host, port)
        proxy = processes.running(lab, daemons.of_node(lab, NODE)[1])
        yield [
            Target(OURS, address, PORT, on_node(lab), proxy.pid if proxy else None),
            Target(DIRECT, backend, BACKEND_PORT, on_node(lab)),
        ]


@contextmanager
def _service(session: Session, backend: str) -> Iterator[str]:
    """The address of a service in front of the backend."""
    meta = {"name": NAME}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": PORT}]}}
    subset = {"addresses": [{"ip": backend}], "ports": [{"port": BACKEND_PORT}]}
    endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": [subset]}
    created = session.create(f"{_DEFAULT}/services", service)
    try:
        session.create(f"{_DEFAULT}/endpoints", endpoints)
        yield created["spec"]["clusterIP"]
    finally:
        session.delete(f"{_DEFAULT}/services/{NAME}")
        session.delete(f"{_DEFAULT}/endpoints/{NAME}")


def _wait(lab: Lab, host: str, port: int) -> None:
    deadline = time.monotonic() + READY
    while True:
        try:
            namespaces.call_in(lab.namespace(NODE), lambda: _ask(host, port))
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{host}:{port} does not answer on {NODE}: {error}") from error
            time.sleep(0.1)


def _ask(host: str, port: int) -> None:
    with socket.create_connection((host, port), timeout=2) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: benchmark\r\n\r\n")
        if not connection.recv(100):
            raise ConnectionResetError("no answer")


def measure(targets: Sequence[Target], settings: Settings, work: str) -> list[Row]:
    """A row of one of ``WORKS`` for each target."""
    if work == "bulk":
        return _bulk(targets, settings)
    if work == "latency":
        return _latency(targets, settings)
    return _requests(f"service-{work}", targets, settings, close=work == "new")


def _requests(work: str, targets: Sequence[Target], settings: Settings, *, close: bool) -> list[Row]:
    runs_by_subject = _runs(targets, settings, settings.connections, settings.service_seconds, close=close)
    return [_row(work, subject, outcomes) for subject, outcomes in runs_by_subject.items()]


def _runs(
    targets: Sequence[Target], settings: Settings, connections: int, seconds: float, *, close: bool
) -> dict[str, list[load.Outcome]]:
    runs_by_subject: dict[str, list[load.Outcome]] = {target.subject: [] for target in targets}
    for number in range(settings.runs + 1):
        for target in targets:
            job = Job(target.host, target.port, "/", connections, seconds if number else settings.warmup, close=close)
            outcome = load.run(job, target.proxy, target.prefix)
            if number:
                runs_by_subject[target.subject].append(outcome)
    return runs_by_subject


def _latency(targets: Sequence[Target], settings: Settings) -> list[Row]:
    """Of one request at a time, on a connection that stays open: no request waits for another."""
    runs_by_subject = _runs(targets, settings, 1, settings.latency_seconds, close=False)
    # Each percentile by itself at its quietest: what others on the machine did meanwhile is not the proxy's.
    best = {
        subject: (min(o.p50_ms for o in runs), min(o.p99_ms for o in runs)) for subject, runs in runs_by_subject.items()
    }
    p50, p99 = (ms * 1000 for ms in best[DIRECT])
    return [
        Row(
            f"service-latency-{name}",
            [getattr(run, f"{name}_ms") * 1000 - base for run in runs],
            "us",
            subject,
            title=f"service, added latency {name}",
            details={"direct_us": base, "runs": [run.details() for run in runs]},
            note=f"best {best[subject][at] * 1000:,.0f} us, {best[subject][at] * 1000 - base:+,.0f} to direct",
        )
        for at, (name, base) in enumerate((("p50", p50), ("p99", p99)))
        for subject, runs in runs_by_subject.items()
    ]


def _row(work: str, subject: str, outcomes: Sequence[load.Outcome]) -> Row:
    middle = sorted(outcomes, key=lambda outcome: outcome.rate)[len(outcomes) // 2]
    cpu = "" if middle.server_cpu_us is None else f"proxy {middle.server_cpu_us:,.0f} us CPU each, "
    details = {"generator": load.generator(), "runs": [outcome.details() for outcome in outcomes]}
    note = f"{cpu}p50 {middle.p50_ms:.1f} ms, p99 {middle.p99_ms:.1f} ms"
    return Row(work, [outcome.rate for outcome in outcomes], "/s", subject, details=details, note=note)


def _bulk(targets: Sequence[Target], settings: Settings) -> list[Row]:
    rates: dict[str, list[float]] = {target.subject: [] for target in targets}
    spent: dict[str, float] = {}
    for number in range(settings.runs + 1):
        for target in targets:
            pids = tree(target.proxy) if target.proxy else []
            before = cpu_seconds(pids)
            rate = _transfer(target, settings.bulk_bytes if number else settings.bulk_bytes // 8)
            if number:
                rates[target.subject].append(rate)
                spent[target.subject] = (cpu_seconds(pids) - before) * 1e9 / settings.bulk_bytes
    return [
        Row(
            "service-bulk",
            samples,
            "GB/s",
            subject,
            details={"bytes": settings.bulk_bytes, "proxy_cpu_seconds_per_GB": round(spent[subject], 3)},
            note=f"proxy {spent[subject]:.2f} s CPU a GB" if spent[subject] else "",
        )
        for subject, samples in rates.items()
    ]


def _transfer(target: Target, size: int) -> float:
    """GB (1e9 bytes) a second, one connection."""
    ended = subprocess.run(
        [*target.prefix, *module("benchmarks.generator", "bulk")],
        input=json.dumps({"host": target.host, "port": target.port, "size": size}),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if ended.returncode != 0:
        raise BenchmarkError(f"bulk transfer from {target.host}:{target.port}: {ended.stderr.strip()[-300:]}")
    outcome = json.loads(ended.stdout)
    if outcome["bytes"] < size:
        raise BenchmarkError(f"bulk transfer from {target.host}:{target.port} ended after {outcome['bytes']} bytes")
    return float(outcome["bytes"]) / float(outcome["seconds"]) / 1e9


def peers(addresses: Sequence[str], namespace: str) -> list[Target]:
    """Services somewhere else, as people give them: HOST:PORT, and the network namespace to ask from."""
    prefix = ["nsenter", f"--net=/run/netns/{namespace}", "--"] if namespace else []
    targets = []
    for number, address in enumerate(addresses):
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        if not host or not port.isdigit():
            raise BenchmarkError(f"--service {address!r}: not HOST:PORT")
        targets.append(Target(f"{PEER} {address}" if number else PEER, host, int(port), prefix))
    return targets
