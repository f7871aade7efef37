"""The lab's daemons: what one is, and how it is started, watched and stopped.

A daemon runs detached, in its own session, with standard output and error in its log. One that ends without being asked
to is started again by the ``supervisor``, which finds it in its record.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.lab import pids, records
from deploy.lab.errors import LabError
from deploy.lab.execute import ENVIRONMENT, in_namespace
from deploy.lab.lab import CHECKOUT, Lab
from deploy.lab.pids import Process
from deploy.lab.records import Launch, Record


@dataclass(frozen=True)
class Daemon:
    """One row of the lab's table: which program runs where, and how to probe its health."""

    node: str
    name: str
    namespace: str
    """A network namespace; empty for the host's."""
    argv: tuple[str, ...]
    healthy: Callable[[], bool]
    """Returns False or raises OSError when the daemon is not (yet) healthy."""
    ports: tuple[int, ...] = ()
    """TCP ports on which it listens inside its namespace."""
    inputs: tuple[Path, ...] = ()
    """Files that it reads at its start: when they change, it must be restarted."""
    stale: tuple[Path, ...] = ()
    """Files that an earlier process may have left and that would keep it from starting."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.node}/{self.name}"

    def fingerprint(self) -> str:
        """A hash of the command line, the environment and the inputs: when it changes, the daemon must be restarted."""
        digest = hashlib.sha256(json.dumps([self.argv, sorted(self.environment.items())]).encode())
        for path in self.inputs:
            digest.update(path.read_bytes() if path.exists() else b"")
        return digest.hexdigest()[:16]


def record_of(lab: Lab, daemon: Daemon) -> Record | None:
    return records.read(_path(lab, daemon))


def _path(lab: Lab, daemon: Daemon) -> Path:
    return records.path_of(lab.records, daemon.node, daemon.name)


def running(lab: Lab, daemon: Daemon) -> Process | None:
    """The daemon's process, if it is alive."""
    record = record_of(lab, daemon)
    return record.process if record and record.process.alive() else None


def start(lab: Lab, daemon: Daemon) -> bool:
    """Start a daemon unless it runs. Returns whether it was started; does not wait until it is ready."""
    launch = Launch(
        command=tuple(in_namespace(daemon.namespace, daemon.argv) if daemon.namespace else daemon.argv),
        folder=str(CHECKOUT),
        log=str(lab.log(daemon.node, daemon.name)),
        environment={**ENVIRONMENT, **daemon.environment},
        stale=tuple(map(str, daemon.stale)),
    )
    with records.locked(lab.records):
        if running(lab, daemon):
            return False
        process = records.spawn(launch)
        if not process.alive():
            raise LabError(f"{daemon.key} ended at once; {last_lines(lab, daemon)}")
        records.write(_path(lab, daemon), Record(launch, process, daemon.fingerprint()))
    return True


def is_current(lab: Lab, daemon: Daemon) -> bool:
    """Whether it was started with the configuration that the table gives it now."""
    record = record_of(lab, daemon)
    return record is not None and record.fingerprint == daemon.fingerprint()


def wait_healthy(lab: Lab, daemons: Iterable[Daemon], seconds: float) -> None:
    """Wait until all of them are healthy. Raises LabError, with the last lines of the daemon's log."""
    deadline = time.monotonic() + seconds
    for daemon in daemons:
        while not is_healthy(daemon):
            if running(lab, daemon) is None:
                raise LabError(f"{daemon.key} ended; {last_lines(lab, daemon)}")
            if time.monotonic() > deadline:
                raise LabError(f"{daemon.key} is not ready after {seconds:g} s; {last_lines(lab, daemon)}")
            time.sleep(0.05)


def is_healthy(daemon: Daemon) -> bool:
    try:
        return daemon.healthy()
    except OSError:
        return False


def last_lines(lab: Lab, daemon: Daemon, count: int = 5) -> str:
    """The path and the last lines of a daemon's log."""
    path = lab.log(daemon.node, daemon.name)
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 4096))
            tail = log.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        tail = []
    return "\n    ".join([f"its log is {path}" + (" and ends:" if tail else ""), *tail])


def stop(lab: Lab, daemons: Iterable[Daemon], seconds: float = 8) -> int:
    """Stop daemons, all at the same time: SIGTERM, and SIGKILL after ``seconds``. Returns how many ran."""
    daemons = list(daemons)
    processes = _give_up(lab, daemons)
    pids.end(processes, seconds)
    for daemon in daemons:
        _path(lab, daemon).unlink(missing_ok=True)
    return len(processes)


def kill(lab: Lab, daemon: Daemon) -> None:
    """SIGKILL, and wait for the end; it stays ended until it is started. Raises LabError if it does not run."""
    for process in _give_up(lab, [daemon]):
        pids.kill(process)
        return
    raise LabError(f"{daemon.key} is not running")


def _give_up(lab: Lab, daemons: Iterable[Daemon]) -> list[Process]:
    """Have the supervisor leave these alone. Returns the processes of those that run."""
    alive = []
    with records.locked(lab.records):
        for daemon in daemons:
            record = record_of(lab, daemon)
            if record is not None:
                records.write(_path(lab, daemon), replace(record, wanted=False, retry=None))
                if record.process.alive():
                    alive.append(record.process)
    return alive
