"""Load over HTTP from a process of its own: ``wrk`` where it is installed, our own generator where it is not.

``wrk`` (Debian's package of that name) needs a third of our generator's CPU, which on two cores is what the server
then gets; each row names the generator that was used.
"""

import json
import os
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.children import module, talking_child
from benchmarks.errors import BenchmarkError
from benchmarks.machine import CHECKOUT
from benchmarks.procfs import cpu_seconds, tree
from deploy.lab.execute import program

_SCRIPT = Path(__file__).with_name("wrk.lua")
_MARK = "RESULT "
TOLERATED = 0.001
"""The share of failed requests above which a figure is none."""


@dataclass(frozen=True)
class Job:
    """One run of one kind of request over ``connections`` that each have one request under way."""

    host: str
    port: int
    path: str
    connections: int
    seconds: float
    tls: bool = False
    method: str = "GET"
    body: str = ""
    """``@NAME@`` in it becomes another name in each request."""
    token: str = ""
    gzip: bool = False
    close: bool = False
    """A new connection for each request."""


@dataclass(frozen=True)
class Outcome:
    """What a run did. ``refused`` are answers other than 2xx and 3xx, ``broken`` are failed connections."""

    requests: int
    seconds: float
    bytes: int
    refused: int
    broken: int
    p50_ms: float
    p99_ms: float
    server_cpu_us: float | None = None
    """The server's CPU time for each request, where its process is known."""

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    def check(self) -> None:
        """Raises BenchmarkError when too much failed."""
        failed = self.refused + self.broken
        if not self.requests or failed > TOLERATED * self.requests:
            raise BenchmarkError(f"{failed} of {self.requests} requests failed ({self.refused} were refused)")

    def details(self) -> dict[str, Any]:
        return asdict(self) | {"rate": round(self.rate, 1)}


def generator() -> str:
    """Which program drives the load here."""
    return "wrk" if os.access(program("wrk"), os.X_OK) else "benchmarks.generator"


def run(job: Job, server: int | None = None, prefix: Sequence[str] = ()) -> Outcome:
    """Drive one run. ``prefix`` is a command line that runs another one elsewhere, as ``nsenter`` does.

    Raises BenchmarkError when the generator fails or too many requests do.
    """
    pids = tree(server) if server else []
    before = cpu_seconds(pids)
    outcome = _with_wrk(job, prefix) if generator() == "wrk" else _with_ours(job, prefix)
    outcome.check()
    if server:
        spent = (cpu_seconds(pids) - before) * 1e6 / outcome.requests
        outcome = replace(outcome, server_cpu_us=round(spent, 1))
    return outcome


def _with_wrk(job: Job, prefix: Sequence[str]) -> Outcome:
    url = f"{'https' if job.tls else 'http'}://{job.host}:{job.port}"
    # wrk takes whole seconds only
    duration = f"-d{max(1, round(job.seconds))}s"
    argv = [program("wrk"), "-t1", f"-c{job.connections}", duration, "--timeout=30s", f"-s{_SCRIPT}", url]
    environment = os.environ | {
        "BENCH_METHOD": job.method,
        "BENCH_PATH": job.path,
        "BENCH_BODY": job.body,
        "BENCH_TOKEN": job.token,
        "BENCH_GZIP": "1" if job.gzip else "0",
        "BENCH_CLOSE": "1" if job.close else "0",
        "BENCH_PREFIX": f"b-{secrets.token_hex(4)}",
    }
    ended = subprocess.run(
        [*prefix, *argv],
        env=environment,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=job.seconds + 60,
        check=False,
    )
    line = next((line for line in ended.stdout.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        raise BenchmarkError(f"wrk failed: {(ended.stderr or ended.stdout).strip()[:300]}")
    return Outcome(**json.loads(line.removeprefix(_MARK)))


def _with_ours(job: Job, prefix: Sequence[str]) -> Outcome:
    with talking_child([*prefix, *module("benchmarks.generator")]) as process:
        out, _ = process.communicate(json.dumps(asdict(job)).encode(), timeout=job.seconds + 60)
    if process.returncode != 0:
        raise BenchmarkError("the load generator failed")
    return Outcome(**json.loads(out))
