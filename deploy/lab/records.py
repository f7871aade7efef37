"""What is to run, on disk: a file for each daemon that says how it was started, as which process, and that it is wanted.

Who starts or stops a daemon, or starts it again, holds ``locked`` while it reads and writes the record, so that the
supervisor never starts what a command is about to stop. Records from before a reboot mean nothing.
"""

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from component_base import open_files
from deploy.lab.pids import Process, now, start_time

LOG_LIMIT = 32 * 1024 * 1024
"""Bytes; a longer log is renamed when its daemon starts."""
FILES = 65536
"""How many files and connections a daemon may have open, where the host allows it."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Launch:
    """How a daemon is started: enough to do it again, whatever the table of daemons says by then."""

    command: tuple[str, ...]
    folder: str
    log: str
    environment: Mapping[str, str] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    """Files that an earlier process may have left and that would keep it from starting."""


@dataclass(frozen=True)
class Record:
    launch: Launch
    process: Process
    """The last one."""
    fingerprint: str = ""
    """Of the configuration with which it was started."""
    wanted: bool = True
    """Whether it is to run: false from the moment that somebody asks for its end."""
    restarts: int = 0
    """How often the supervisor has started it again since somebody asked for its start."""
    failures: int = 0
    """How often in a row it ended soon."""
    ended: float | None = None
    """When the supervisor found it ended; this and the next are in seconds of ``time.monotonic``, since the boot."""
    retry: float | None = None
    """When it will be started again."""


def path_of(folder: Path, node: str, name: str) -> Path:
    """Where a daemon's record is, below a lab's folder of records."""
    return folder / node / f"{name}.json"


def paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.json"))


def read(path: Path) -> Record | None:
    """None if there is no record, or none that means anything."""
    try:
        values = json.loads(path.read_text())
        if values.pop("boot") != _BOOT_ID.read_text().strip():
            return None
        launch, process = values.pop("launch"), values.pop("process")
        launch |= {"command": tuple(launch["command"]), "stale": tuple(launch["stale"])}
        return Record(Launch(**launch), Process(**process), **values)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(path: Path, record: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"boot": _BOOT_ID.read_text().strip(), **asdict(record)}) + "\n")
    temporary.replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let nobody else change the records of a lab. Held for moments only."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def spawn(launch: Launch) -> Process:
    """Start a daemon, detached, in a session of its own. It may have ended already."""
    for path in launch.stale:
        Path(path).unlink(missing_ok=True)
    open_files.raise_limit(FILES)  # a shell's soft limit is too low for a daemon
    with _open_log(Path(launch.log)) as output:
        child = subprocess.Popen(
            launch.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=launch.folder,
            env=dict(launch.environment),
            start_new_session=True,
        )
    started = start_time(child.pid)
    child.returncode = 0  # so that Popen does not wait for it: it outlives who started it
    return Process(child.pid, now() if started is None else started)


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
