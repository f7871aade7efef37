"""Start, watch and stop the lab's daemons.

A daemon runs detached, in its own session, with standard output and error in its log. Its pid file contains the
process's start time and the machine's boot id besides the pid, so that another process that got the same pid is never
mistaken for the daemon; signals go through a pidfd for the same reason. Daemons are not restarted automatically;
``make up`` starts those that do not run.
"""

import hashlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from component_base import open_files
from deploy.lab.errors import LabError
from deploy.lab.execute import ENVIRONMENT, in_namespace
from deploy.lab.lab import CHECKOUT, Lab

LOG_LIMIT = 32 * 1024 * 1024
"""Bytes; a longer log is renamed when its daemon starts."""
FILES = 65536
"""How many files and connections a daemon may have open, where the host allows it."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Daemon:
    """One row of the lab's table: which program runs where, and how to probe its health."""

    node: str
    name: str
    namespace: str
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


@dataclass(frozen=True)
class Process:
    """A process, identified by pid and start time (clock ticks since boot)."""

    pid: int
    started: int
    fingerprint: str = ""

    @property
    def age(self) -> float:
        """Seconds since it started."""
        since_boot = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, since_boot - self.started / os.sysconf("SC_CLK_TCK"))

    def alive(self) -> bool:
        return start_time(self.pid) == self.started

    def descriptor(self) -> int | None:
        """A pidfd of the process, to be closed by the caller, or None when it has ended."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if self.alive():  # checked after the pidfd is open: from here on it cannot refer to another process
            return handle
        os.close(handle)
        return None

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; False when the process has ended."""
        handle = self.descriptor()
        if handle is None:
            return False
        try:
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it has ended or is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything, parentheses too
    return None if fields[0] in "ZX" else int(fields[19])


def process_of(pid: int) -> Process | None:
    started = start_time(pid)
    return None if started is None else Process(pid, started)


def _pid_file(lab: Lab, daemon: Daemon) -> Path:
    return lab.state / "run" / daemon.node / f"{daemon.name}.json"


def running(lab: Lab, daemon: Daemon) -> Process | None:
    """The daemon's process, if it is alive."""
    return read_pid_file(_pid_file(lab, daemon))


def read_pid_file(path: Path) -> Process | None:
    try:
        record = json.loads(path.read_text())
        process = Process(int(record["pid"]), int(record["started"]), str(record["fingerprint"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if record.get("boot") != _BOOT_ID.read_text().strip():
        return None
    return process if process.alive() else None


def write_pid_file(path: Path, process: Process) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "pid": process.pid,
        "started": process.started,
        "boot": _BOOT_ID.read_text().strip(),
        "fingerprint": process.fingerprint,
    }
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(record) + "\n")
    temporary.replace(path)


def start(lab: Lab, daemon: Daemon) -> bool:
    """Start a daemon unless it runs. Returns whether it was started; does not wait until it is ready."""
    if running(lab, daemon):
        return False
    for path in daemon.stale:
        path.unlink(missing_ok=True)
    fingerprint = daemon.fingerprint()
    open_files.raise_limit(FILES)  # a shell's soft limit is too low for a daemon
    with _open_log(lab.log(daemon.node, daemon.name)) as output:
        child = subprocess.Popen(
            in_namespace(daemon.namespace, daemon.argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            env={**ENVIRONMENT, **daemon.environment},
            start_new_session=True,
        )
    started = start_time(child.pid)
    child.returncode = 0  # so that Popen does not wait for it: it outlives this command
    if started is None:
        raise LabError(f"{daemon.key} ended at once; {last_lines(lab, daemon)}")
    write_pid_file(_pid_file(lab, daemon), Process(child.pid, started, fingerprint))
    return True


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


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
    processes = [process for daemon in daemons if (process := running(lab, daemon))]
    end(processes, seconds)
    for daemon in daemons:
        _pid_file(lab, daemon).unlink(missing_ok=True)
    return len(processes)


def kill(process: Process) -> None:
    """SIGKILL, and wait for the end. Raises LabError when the process does not end."""
    _end([process], ((signal.SIGKILL, 5.0),))


def end(processes: Iterable[Process], seconds: float) -> None:
    """SIGTERM to all, SIGKILL to those that still run after ``seconds``, and wait for all to end."""
    _end(processes, ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)))


def _end(processes: Iterable[Process], rounds: tuple[tuple[signal.Signals, float], ...]) -> None:
    handles = [handle for process in processes if (handle := process.descriptor()) is not None]
    try:
        remaining = handles
        for number, timeout in rounds:
            for handle in remaining:
                _send(handle, number)
                _send(handle, signal.SIGCONT)  # a process that a test has paused must resume to end
            remaining = _wait(remaining, timeout)
            if not remaining:
                return
        raise LabError(f"{len(remaining)} processes did not end after SIGKILL")
    finally:
        for handle in handles:
            os.close(handle)


def _send(handle: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)


def _wait(handles: list[int], seconds: float) -> list[int]:
    """Wait for processes to end. Returns the pidfds of those that still run after ``seconds``."""
    poll = select.poll()
    unfinished = set(handles)
    for handle in unfinished:
        poll.register(handle, select.POLLIN)
    deadline = time.monotonic() + seconds
    while unfinished and (time_left := deadline - time.monotonic()) > 0:
        for handle, _ in poll.poll(time_left * 1000):
            poll.unregister(handle)
            unfinished.discard(handle)
    return list(unfinished)
