"""``python -m benchmarks``: choose rows, measure them, show and keep the figures."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from benchmarks import api, cached, dns, fanout, idle, kubelet, load, machine, pods, scheduling, services
from benchmarks.cluster import DATA, loopback_cluster
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from benchmarks.lab import bench_lab
from benchmarks.report import OURS, PEER, Report, Row
from benchmarks.settings import GROUPS, QUICK, Settings
from deploy.lab.errors import LabError

Measure = Callable[[], list[Row]]
API, LAB = ("get", "list", "post", "fanout", "cached", "dns"), ("idle", "pods", "services", "kubelet")
TOKEN = "PEAPOD_BENCH_TOKEN"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_EPILOG = f"""\
rows:
  get, list, post   requests a second against an apiserver over TLS, with a bearer token
  fanout            one object, {Settings.watchers} watchers, {Settings.changes_per_second} changes a second
  cached            memory that 10,000 pods take in the apiserver's watch cache
  dns               answers a second of kube-dns that knows {Settings.dns_services:,} services, and what they cost it
  schedule          pods bound a second, on nodes that exist only in the API
  pods              API call to Running, beside docker run of the same two containers
  services          new, keep-alive and bulk connections through a service's address, and directly; added latency
  idle              memory and CPU of each daemon
  kubelet           its CPU and memory with 0, 30 and 100 idle pods, containers started a second

The first seven start an apiserver, etcd (fsync on) and a scheduler of their own on loopback. The others bring up a
lab named 'bench' with one node and remove it again; they need root. Everything ends with the run, Ctrl-C included.

examples:
  python -m benchmarks --quick --only get,list
  {TOKEN}=... python -m benchmarks --only get,list,post,fanout --server https://127.0.0.1:6444 --insecure
  python -m benchmarks.backend --listen 10.1.1.1:8080   # behind the peer's service, then
  python -m benchmarks --only services --service 10.2.2.2:80 --service-namespace some-netns
"""


def main() -> int:
    """0 when all was measured, 1 when something was not, whatever the figures say."""
    options = _parser().parse_args()
    for ending in _ENDING:
        signal.signal(ending, _interrupt)
    try:
        settings, peer = _settings(options), _peer(options)
        peers = services.peers(options.service, options.service_namespace)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    report = Report(machine.describe(DATA), {**asdict(settings), "generator": load.generator()})
    if load.generator() != "wrk":
        _tell("wrk is not installed (Debian: apt-get install wrk): our own, slower generator drives the load")
    began = time.monotonic()
    try:
        Run(options.only, settings, peer, peers, report).all()
    except KeyboardInterrupt:
        _tell("interrupted")
        report.failures["run"] = "interrupted"
    finally:
        report.seconds = time.monotonic() - began
        if options.json:
            report.write(options.json)
    print(report.table())
    _tell(f"took {report.seconds:.0f} s" + (f"; all figures are in {options.json}" if options.json else ""))
    return 1 if report.failures else 0


class Run:
    """Run the selected groups, each in the environment that it needs. The others go on if one fails."""

    def __init__(
        self,
        only: Sequence[str],
        settings: Settings,
        peer: Endpoint | None,
        peers: Sequence[services.Target],
        report: Report,
    ) -> None:
        self._only, self._settings, self._report = only, settings, report
        self._peer, self._peers = peer, peers

    def all(self) -> None:
        self._together([group for group in API if group in self._only], self._api)
        if "schedule" in self._only:
            self._group("schedule", lambda: scheduling.measure(self._settings))
        self._together([group for group in LAB if group in self._only], self._lab)

    def _together(self, groups: Sequence[str], measure: Callable[[Sequence[str]], None]) -> None:
        """Groups that share what is started for them."""
        if groups:
            try:
                measure(groups)
            except (BenchmarkError, LabError, OSError) as error:
                self._report.failures[", ".join(groups)] = str(error)

    def _group(self, name: str, measure: Measure) -> None:
        _tell(f"{name} ...")
        try:
            self._report.rows += measure()
        except (BenchmarkError, LabError, OSError) as error:
            self._report.failures[name] = str(error)

    def _api(self, groups: Sequence[str]) -> None:
        with loopback_cluster() as cluster:
            subjects = [(OURS, cluster.endpoint)]
            if self._peer:
                subjects.append((PEER, self._peer))
            for group in groups:
                if group == "cached":
                    self._group(group, partial(cached.measure, cluster.endpoint, self._settings))
                elif group == "dns":
                    self._group(group, partial(dns.measure, cluster, self._settings))
                elif group == "fanout":
                    self._group(group, partial(fanout.measure, subjects, self._settings))
                else:
                    self._group(group, partial(api.measure, subjects, self._settings, group))

    def _lab(self, groups: Sequence[str]) -> None:
        with bench_lab() as lab, ExitStack() as stack:
            if "idle" in groups:
                self._group("idle", lambda: idle.measure(lab, self._settings))
            if "pods" in groups:
                self._group("pods", lambda: pods.measure(lab, self._settings))
            if "services" in groups:
                log = lab.state / "benchmark-backend.log"
                targets = [*stack.enter_context(services.lab_targets(lab, log)), *self._peers]
                for work in services.WORKS:
                    self._group(f"services, {work}", partial(services.measure, targets, self._settings, work))
            if "kubelet" in groups:
                self._group("kubelet", lambda: kubelet.measure(lab, self._settings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures how fast Peapod is, and what it costs, and puts the figures beside the budget's.",
        epilog=_EPILOG,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=110, max_help_position=30),
    )
    parser.add_argument(
        "--only", type=_groups, default=GROUPS, metavar="ROWS", help=f"some of {','.join(GROUPS)} (default: all)"
    )
    parser.add_argument("--quick", action="store_true", help="one short run of each, for a first impression")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures and samples there")
    parser.add_argument("--runs", type=_count, metavar="N", help=f"runs of each row (default {Settings.runs})")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="length of a run of an API row")
    parser.add_argument("--nodes", type=_count, metavar="N", help=f"schedule: nodes (default {Settings.nodes})")
    parser.add_argument("--pods", type=_count, metavar="N", help=f"schedule: pods (default {Settings.pods})")
    peer = parser.add_argument_group("a peer, measured in turn with Peapod")
    peer.add_argument("--server", metavar="URL", help="another Kubernetes API for the API rows")
    peer.add_argument("--token", help=f"a bearer token for it (or in ${TOKEN}, where other users cannot see it)")
    trust = peer.add_mutually_exclusive_group()
    trust.add_argument("--ca", type=Path, metavar="FILE", help="the CA that signed its certificate")
    trust.add_argument("--insecure", action="store_true", help="do not check its certificate")
    peer.add_argument("--pid", type=_count, help="its process on this machine, to measure its CPU time")
    peer.add_argument(
        "--service", action="append", default=[], metavar="HOST:PORT", help="another service; may be repeated"
    )
    peer.add_argument(
        "--service-namespace", default="", metavar="NAME", help="network namespace to ask that service from"
    )
    return parser


def _groups(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [name for name in names if name not in GROUPS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'}: choose of {', '.join(GROUPS)}")
    return names


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _settings(options: argparse.Namespace) -> Settings:
    overrides = {name: getattr(options, name) for name in ("runs", "duration", "nodes", "pods")}
    return replace(
        QUICK if options.quick else Settings(),
        **{name: value for name, value in overrides.items() if value is not None},
    )


def _peer(options: argparse.Namespace) -> Endpoint | None:
    if not options.server:
        return None
    token = options.token or os.environ.get(TOKEN, "")
    if not token:
        raise BenchmarkError(f"--server needs a token: --token, or ${TOKEN}")
    if not options.ca and not options.insecure:
        raise BenchmarkError("--server needs --ca or --insecure")
    endpoint = Endpoint(options.server.rstrip("/"), token, options.ca, options.pid)
    _ = endpoint.address  # a malformed address fails now
    return endpoint


def _interrupt(number: int, frame: object) -> None:
    """The first signal ends the run; from then on all is being taken down, which is bounded and must not be cut."""
    for ending in _ENDING:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
