"""What containers and the machine use, read from the kernel without the engine: cheap even with many containers.

CPU time and memory come from a container's control groups (v1 or v2), by its process; traffic from the sandbox's network
namespace; the machine's numbers from /proc. Units are bytes and nanoseconds. Blocks a little: many reads.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Usage:
    cpu: int
    """Nanoseconds of CPU time so far."""
    memory: int
    """Bytes charged, the page cache included."""
    working_set: int
    """Bytes that the kernel cannot easily reclaim: the number that eviction goes by."""
    rss: int = 0


@dataclass(frozen=True)
class Traffic:
    """Bytes of a network device so far."""

    received: int
    sent: int


def container_usage(pid: int, proc: Path = Path("/proc"), cgroups: Path = _CGROUPS) -> Usage | None:
    """Of the container of that process; None when it is gone."""
    try:
        paths = _paths(proc.joinpath(str(pid), "cgroup").read_text())
        if "memory" in paths:
            return _version_1(cgroups, paths)
        return _version_2(cgroups / paths[""].lstrip("/"))
    except (OSError, KeyError, ValueError):
        return None


def machine_usage(proc: Path = Path("/proc")) -> Usage:
    ticks = [int(field) for field in proc.joinpath("stat").read_text().partition("\n")[0].split()[1:9]]
    busy = sum(ticks) - ticks[3] - ticks[4]  # all but idle and waiting for I/O
    info = {name: int(rest.split()[0]) * 1024 for name, rest in _pairs(proc.joinpath("meminfo").read_text(), ":")}
    used = info["MemTotal"] - info["MemAvailable"]
    return Usage(busy * 1_000_000_000 // os.sysconf("SC_CLK_TCK"), info["MemTotal"] - info["MemFree"], used)


def machine_memory(proc: Path = Path("/proc")) -> tuple[int, int]:
    """Bytes in all, and available."""
    info = dict(_pairs(proc.joinpath("meminfo").read_text(), ":"))
    total, available = (int(info[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return total, available


def machine_processes(proc: Path = Path("/proc")) -> tuple[int, int]:
    """Process IDs in all, and those available: each thread takes one."""
    limits = [int(proc.joinpath("sys/kernel", name).read_text()) for name in ("pid_max", "threads-max")]
    running = int(proc.joinpath("loadavg").read_text().split()[3].partition("/")[2])
    return min(limits), max(0, min(limits) - running)


def processes(pid: int, proc: Path = Path("/proc"), cgroups: Path = _CGROUPS) -> int:
    """How many processes and threads the container of that process has; 0 when it is gone."""
    try:
        paths = _paths(proc.joinpath(str(pid), "cgroup").read_text())
        group = cgroups / "pids" / paths["pids"].lstrip("/") if "pids" in paths else cgroups / paths[""].lstrip("/")
        return int(group.joinpath("pids.current").read_text())
    except (OSError, KeyError, ValueError):
        return 0


def traffic(pid: int, device: str = "eth0", proc: Path = Path("/proc")) -> Traffic | None:
    """Of a device in a process's network namespace."""
    try:
        # Names of devices are any bytes: a pod with NET_ADMIN chooses them.
        lines = dict(_pairs(proc.joinpath(str(pid), "net/dev").read_text(errors="replace"), ":"))
    except OSError:
        return None
    fields = lines.get(device, "").split()
    return Traffic(int(fields[0]), int(fields[8])) if len(fields) > 8 else None


def _paths(text: str) -> dict[str, str]:
    """Control group by controller; the empty name for that of version 2."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    return paths


def _version_1(root: Path, paths: Mapping[str, str]) -> Usage:
    memory = root / "memory" / paths["memory"].lstrip("/")
    cpu = root / "cpuacct" / paths["cpuacct"].lstrip("/")
    stat = {name: int(value) for name, value in _pairs(memory.joinpath("memory.stat").read_text(), " ")}
    charged = int(memory.joinpath("memory.usage_in_bytes").read_text())
    cache = stat.get("total_inactive_file", 0)
    used = int(cpu.joinpath("cpuacct.usage").read_text())
    return Usage(used, charged, max(0, charged - cache), stat.get("total_rss", 0))


def _version_2(group: Path) -> Usage:
    stat = {name: int(value) for name, value in _pairs(group.joinpath("memory.stat").read_text(), " ")}
    charged = int(group.joinpath("memory.current").read_text())
    cpu = dict(_pairs(group.joinpath("cpu.stat").read_text(), " "))
    working_set = max(0, charged - stat.get("inactive_file", 0))
    return Usage(int(cpu["usage_usec"]) * 1000, charged, working_set, stat.get("anon", 0))


def _pairs(text: str, separator: str) -> list[tuple[str, str]]:
    parts = (line.partition(separator) for line in text.split("\n"))
    return [(name.strip(), rest) for name, present, rest in parts if present]
