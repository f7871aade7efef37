"""Progress of a command: one line for each step, with the time that it took."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Step:
    """A running step; ``detail`` is printed when it ends."""

    def __init__(self) -> None:
        self.detail = ""


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Print a step's name when it begins, and its result and duration when it ends."""
    current = Step()
    began = time.monotonic()
    _write(f"  {name:<22}")
    try:
        yield current
    except BaseException:
        _write(f"failed after {time.monotonic() - began:.1f} s\n")
        raise
    _write(f"{current.detail:<60} {time.monotonic() - began:6.1f} s\n")


def say(text: str = "") -> None:
    _write(text + "\n")


def _write(text: str) -> None:
    """Print a text; a closed pipe (``make up | head``) does not abort the command."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, it stays open until the end


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
