"""Processes that are never mistaken for others: found, signalled and ended.

A pid is given out again; with the process's start time it is unique until the machine is rebooted. Signals go through a
pidfd for the same reason.
"""

import os
import select
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.errors import LabError

_TICKS = os.sysconf("SC_CLK_TCK")
"""A second's."""


@dataclass(frozen=True)
class Process:
    """A process, identified by pid and start time (clock ticks since boot)."""

    pid: int
    started: int

    @property
    def age(self) -> float:
        """Seconds since it started."""
        return max(0, now() - self.started) / _TICKS

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


def now() -> int:
    """Clock ticks since boot."""
    return int(float(Path("/proc/uptime").read_text().split()[0]) * _TICKS)


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
