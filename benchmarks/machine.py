"""On what, when and with which versions a run was made."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deploy.lab.execute import program

CHECKOUT = Path(__file__).resolve().parents[1]
_LIBRARIES = ("uvicorn", "uvloop", "httptools", "fastapi", "msgspec", "aetcd", "grpcio", "numpy", "docker")

_TOTAL = r"MemTotal:\s*(\d+)"


def describe(folder: Path) -> dict[str, Any]:
    """The machine and its software; ``folder`` is where etcd's data will be."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": _first(Path("/proc/cpuinfo"), r"model name\s*:\s*(.+)") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{int(_first(Path('/proc/meminfo'), _TOTAL) or 0) // 1024} MB",
        "kernel": platform.release(),
        "load before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "etcd's disk": _file_system(folder),
        "python": platform.python_version(),
        "versions": {
            "etcd": _said([program("etcd"), "--version"], r"etcd Version: (\S+)"),
            "docker": _said([program("dockerd"), "--version"], r"version ([^,\s]+)"),
            "wrk": _said([program("wrk"), "-v"], r"wrk (\S+)"),
            **{name: _library(name) for name in _LIBRARIES},
        },
    }


def commit() -> str:
    """The checkout's commit, marked when files differ from it; empty outside of git."""
    return _said(["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty"], r"(\S+)") or ""


def _said(argv: Sequence[str], pattern: str) -> str | None:
    """The part of what a program says of itself that the pattern captures; None when it is not there."""
    try:
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(pattern, ended.stdout + ended.stderr)
    return match[1] if match else None


def _first(path: Path, pattern: str) -> str | None:
    match = re.search(pattern, path.read_text())
    return match[1].strip() if match else None


def _library(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _file_system(folder: Path) -> str:
    """Kind of the file system that holds a folder; one in memory makes fsync free."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, file_system, *_ = line.split()
        inside = folder.is_relative_to(point)
        if inside and len(point) >= len(best):
            best, kind = point, file_system
    return kind
