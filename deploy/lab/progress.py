"""What a person sees while a command works: one line for each step, with the time that it took."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Step:
    """A step under way; ``detail`` is what its line says in the end."""

    def __init__(self) -> None:
        self.detail = ""


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Show a step's name when it begins, and its outcome and seconds when it ends."""
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
    """Show a text; that nobody reads any more (``make up | head``) does not end the work half-way."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, it stays open until the end


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
