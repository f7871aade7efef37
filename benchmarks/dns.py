"""The cluster's name server: answers a second, what one costs, and how it copes with many services.

kube-dns runs as a process on loopback beside an apiserver that has the services and their EndpointSlices. It is
one thread, so a rate is one core's as long as another core is free for the generator; CPU time for each answer
shows the same without that condition.
"""

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import httpx

from benchmarks.api import namespace
from benchmarks.children import child, module, talking_child
from benchmarks.cluster import Cluster, free_port
from benchmarks.endpoint import Endpoint, Object, Session
from benchmarks.errors import BenchmarkError
from benchmarks.procfs import cpu_seconds, memory
from benchmarks.questions import Job, Outcome, answered, question
from benchmarks.report import Row
from benchmarks.settings import Settings

HOST, DOMAIN = "127.0.0.1", "svc.cluster.local"
READY = 30.0
"""Seconds."""
ENDPOINTS = 5
"""Of each service."""
_CLIENTS = 4
_MB = 1e6
_QUESTION = b"\0\1\1\0\0\1\0\0\0\0\0\0"


@dataclass(frozen=True)
class Server:
    pid: int
    port: int
    synced: float
    """Seconds from the start of the process until it knew all services."""


def measure(cluster: Cluster, settings: Settings) -> list[Row]:
    """Rates with answers that are ready and with such that have to be made; changes, start and memory."""
    count = settings.dns_services
    with cluster.endpoint.session() as session, namespace(session) as space:
        _create_all(cluster.endpoint, space, count)
        with _server(cluster) as server:
            started = cpu_seconds([server.pid])
            held = memory([server.pid]).rss / _MB
            names = [f"web-{number}.{space}.{DOMAIN}" for number in range(count)]
            rows = [_rate(server, names, settings, unlike=unlike) for unlike in (False, True)]
            rows += _changes(session, space, server, settings.dns_changes)
    what = f"with {count:,} services of {ENDPOINTS} endpoints"
    note = f"{started:.1f} s CPU"
    return [
        *rows,
        Row("dns-start", [server.synced], "s", title=f"DNS, from start to ready {what}", note=note),
        Row("dns-memory", [held], "MB", title=f"DNS, memory (RSS) {what}"),
    ]


def _rate(server: Server, names: Sequence[str], settings: Settings, *, unlike: bool) -> Row:
    outcomes, spent = [], []
    for number in range(settings.runs + 1):
        seconds = settings.duration if number else settings.warmup
        before = cpu_seconds([server.pid])
        outcome = _ask(Job(HOST, server.port, names, seconds, unlike=unlike))
        if number:
            outcomes.append(outcome)
            spent.append((cpu_seconds([server.pid]) - before) * 1e6 / outcome.answers)
    middle = sorted(range(len(outcomes)), key=lambda n: outcomes[n].rate)[len(outcomes) // 2]
    median = outcomes[middle]
    return Row(
        "dns-made" if unlike else "dns",
        [outcome.rate for outcome in outcomes],
        "/s",
        title="DNS, answers made anew" if unlike else "",
        details={"runs": [asdict(outcome) for outcome in outcomes], "server_cpu_us": [round(cpu, 1) for cpu in spent]},
        note=f"{spent[middle]:.0f} us CPU each, p50 {median.p50_ms:.2f} ms, p99 {median.p99_ms:.2f} ms, {median.lost} lost",
    )


def _ask(job: Job) -> Outcome:
    with talking_child(module("benchmarks.questions")) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
    if not line:
        raise BenchmarkError("the generator of questions ended; its words are above")
    return Outcome(**json.loads(line))


def _changes(session: Session, space: str, server: Server, count: int) -> list[Row]:
    """How long after the API's own answer a new service, and a headless one's new endpoints, are in answers."""
    services, slices = _paths(space)
    made, moved = [], []
    for number in range(count):
        new, bare = f"new-{number}", f"bare-{number}"
        made.append(_live(server, f"{new}.{space}", partial(session.create, services, _service(new))))
        session.create(services, _service(bare, clusterIP="None"))
        moved.append(_live(server, f"{bare}.{space}", partial(session.create, slices, _slice(bare, 0))))
    return [
        Row("dns-service-live", made, "ms", title="DNS, a new service is answered for after"),
        Row("dns-endpoints-live", moved, "ms", title="DNS, new endpoints are answered for after"),
    ]


def _live(server: Server, name: str, change: Callable[[], object]) -> float:
    """Milliseconds between the change and the first answer that shows it."""
    asked = _QUESTION + question(f"{name}.{DOMAIN}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, server.port))
        sock.settimeout(READY)
        change()
        began = time.monotonic()
        while True:
            sock.send(asked)
            if answered(sock.recv(4096)):
                return (time.monotonic() - began) * 1000
            if time.monotonic() - began > READY:
                raise BenchmarkError(f"{name} is not answered for after {READY:g} s")


@contextmanager
def _server(cluster: Cluster) -> Iterator[Server]:
    port, health = free_port(), free_port()
    argv = module(
        "kube_dns",
        f"--kubeconfig={cluster.kubeconfig}",
        f"--dns-bind-address={HOST}",
        f"--dns-port={port}",
        f"--healthz-bind-address={HOST}",
        f"--healthz-port={health}",
        "--resolv-conf=",
    )
    log = cluster.folder / "kube-dns.log"
    began = time.monotonic()
    with child(argv, log) as process:
        while not _is_ready(f"http://{HOST}:{health}/ready"):
            if process.poll() is not None or time.monotonic() - began > READY:
                raise BenchmarkError(f"kube-dns is not ready: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.02)
        yield Server(process.pid, port, time.monotonic() - began)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _create_all(endpoint: Endpoint, space: str, count: int) -> None:
    with ThreadPoolExecutor(_CLIENTS) as clients:
        list(
            clients.map(
                lambda part: _create(endpoint, space, part), [range(n, count, _CLIENTS) for n in range(_CLIENTS)]
            )
        )


def _create(endpoint: Endpoint, space: str, numbers: range) -> None:
    services, slices = _paths(space)
    with endpoint.session() as session:
        for number in numbers:
            session.create(services, _service(f"web-{number}"))
            session.create(slices, _slice(f"web-{number}", number))


def _paths(space: str) -> tuple[str, str]:
    return (
        f"/api/v1/namespaces/{space}/services",
        f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices",
    )


def _service(name: str, **spec: Any) -> Object:
    ports = [{"name": "http", "port": 80}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports, **spec}}


def _slice(name: str, number: int) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [
            {"addresses": [f"10.{200 + n}.{number // 250}.{number % 250 + 1}"], "conditions": {"ready": True}}
            for n in range(ENDPOINTS)
        ],
    }
