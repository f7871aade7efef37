"""Processes of the benchmark: each ends with the block that started it, or with the benchmark itself."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from benchmarks.machine import CHECKOUT

PATIENCE = 10.0
"""Seconds between SIGTERM and SIGKILL."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def module(name: str, *arguments: str) -> list[str]:
    """The command line of one of our modules, with this very Python."""
    return [sys.executable, "-m", name, *arguments]


@contextmanager
def child(
    argv: Sequence[str], output: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs beside the block, its output in a file."""
    with output.open("ab") as log:
        process = _start(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, environment=environment)
    try:
        yield process
    finally:
        stop(process)


@contextmanager
def talking_child(argv: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads what the block writes to its stdin, and is read from; stderr is ours."""
    process = _start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None)
    try:
        yield process
    finally:
        stop(process)
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()


def _start(
    argv: Sequence[str],
    *,
    stdin: int,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes] | None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=CHECKOUT,
        env={**os.environ, **(environment or {})},
        start_new_session=True,  # Ctrl-C is for us alone: we end the others in their order
        preexec_fn=_end_with_parent,
    )


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def stop(process: subprocess.Popen[bytes], patience: float = PATIENCE) -> None:
    """SIGTERM, and SIGKILL for one that stays; returns when it has ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
