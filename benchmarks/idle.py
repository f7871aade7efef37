"""What the daemons of a lab cost when nothing happens: memory, and CPU over a while."""

import time
from collections.abc import Sequence

from benchmarks.procfs import Memory, cpu_seconds, memory, tree
from benchmarks.report import Row
from benchmarks.settings import Settings
from deploy.lab import daemons, processes
from deploy.lab.lab import MASTER, Lab

SETTLE = 5.0
"""Seconds: what follows the start (informers, the example's probes) is not idleness."""
_MB = 1e6


def measure(lab: Lab, settings: Settings) -> list[Row]:
    """A row for the control plane (apiserver, scheduler, controller manager), and two for each daemon."""
    time.sleep(SETTLE)
    plane = {f"{MASTER}/{name}" for name in ("kube-apiserver", "kube-scheduler", "kube-controller-manager")}
    # a daemon and its workers; what the engine runs for pods has left its tree
    pids = {row.key: tree(process.pid) for row in daemons.table(lab) if (process := processes.running(lab, row))}
    before, began = {key: cpu_seconds(group) for key, group in pids.items()}, time.monotonic()
    time.sleep(settings.idle_seconds)
    seconds = time.monotonic() - began
    share = {key: (cpu_seconds(group) - before[key]) / seconds for key, group in pids.items()}
    memories = {key: memory(group) for key, group in pids.items()}
    rows = [_daemon(key, memories[key], share[key], len(pids[key])) for key in pids]
    return [_plane([memories[key] for key in pids if key in plane]), *rows]


def _plane(parts: Sequence[Memory]) -> Row:
    rss, pss = sum(part.rss for part in parts) / _MB, sum(part.pss for part in parts) / _MB
    return Row("memory", [rss], "MB", details={"pss_mb": round(pss, 1)}, note=f"PSS {pss:.0f} MB")


def _daemon(key: str, used: Memory, share: float, count: int) -> Row:
    details = {"rss_mb": round(used.rss / _MB, 1), "pss_mb": round(used.pss / _MB, 1), "processes": count}
    details["cpu_share"] = round(share, 4)
    note = f"PSS {used.pss / _MB:.0f} MB, {share:.1%} of a core" + (f", {count} processes" if count > 1 else "")
    return Row(f"idle {key}", [used.rss / _MB], "MB", details=details, note=note)
