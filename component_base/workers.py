"""Several processes of one daemon side by side, kept alive by a parent that does nothing else.

The parent forks them before there is an event loop or a thread, so each starts as if it were alone. It passes on the
first SIGTERM or SIGINT and exits when the last worker has. A worker that exits unexpectedly is replaced, unless it ran
for less than ``TRIAL`` seconds: then all workers are stopped and the parent exits with status 1. Workers of a parent
that is killed exit with it.
"""

import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, NoReturn

log = logging.getLogger(__name__)

TRIAL: Final = 5.0
"""Seconds that a worker must have run to be replaced when it ends."""

_PR_SET_PDEATHSIG: Final = 1
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_AWAITED: Final = (*_STOPS, signal.SIGCHLD)


def supervise(count: int, work: Callable[[int], NoReturn]) -> NoReturn:
    """Run ``work(n)`` in a process for each n below ``count`` until a signal ends them, then exit. Call it last."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)  # so that none is lost between two calls of sigwait
    signal.signal(signal.SIGCHLD, lambda *_: None)  # sigwait does not return signals that are ignored
    workers = {_start(work, n): (n, time.monotonic()) for n in range(count)}
    code, stopping = 0, False
    while workers:
        number = signal.sigwait(_AWAITED)
        if number in _STOPS:
            stopping = True
            _signal(workers, number)
        for pid, status in _ended():
            n, started = workers.pop(pid)
            lasted = time.monotonic() - started
            if stopping:
                code = code or status
            elif lasted < TRIAL:
                log.critical("worker %d: ended with status %d after %.1f s; the others end with it", n, status, lasted)
                stopping, code = True, 1
                _signal(workers, signal.SIGTERM)
            else:
                log.error("worker %d: ended with status %d; another takes its place", n, status)
                workers[_start(work, n)] = (n, time.monotonic())
    os._exit(code)


def end_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel for a signal when the parent process ``parent`` ends; exit if it has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(0)


def _start(work: Callable[[int], NoReturn], n: int) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        end_with_parent(parent, signal.SIGTERM)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
        work(n)
    return pid


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _ended() -> list[tuple[int, int]]:
    """The pids of children that have exited, with their exit status as a shell reports it."""
    ended = []
    with suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = child
            code = os.waitstatus_to_exitcode(status)
            ended.append((pid, code if code >= 0 else 128 - code))
    return ended
