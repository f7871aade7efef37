"""CPU time and memory of processes and their children, from /proc."""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds: the kernel counts a process's CPU time in these steps."""


@dataclass(frozen=True)
class Memory:
    """Bytes. ``pss`` counts a page that n processes share as an n-th for each."""

    rss: int
    pss: int


def tree(pid: int) -> list[int]:
    """A process and all its descendants (workers, say)."""
    children = defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            children[int(fields[1])].append(int(name))
    pids = [pid]
    for parent in pids:
        pids += children[parent]
    return pids


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes; of one that has ended, none."""
    total = 0.0
    for pid in pids:
        if fields := _stat(pid):
            total += (int(fields[11]) + int(fields[12])) * TICK
    return total


def memory(pids: Iterable[int]) -> Memory:
    """Raises OSError when a process has ended."""
    rss = pss = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "Rss":
                rss += int(rest.split()[0]) * 1024
            elif name == "Pss":
                pss += int(rest.split()[0]) * 1024
    return Memory(rss, pss)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the name, which may hold anything; None when it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
