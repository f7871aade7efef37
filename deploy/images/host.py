"""The programs of this host that go into images, and the shared libraries that they need."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class BuildError(Exception):
    """An image cannot be built here; the message gives the reason in one sentence."""


def libraries(*programs: Path) -> list[Path]:
    """The shared libraries of programs, including the loader; none for a static program."""
    argv = ["ldd", *map(str, programs)]
    result = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    return parse_ldd(result.stdout) if result.returncode == 0 or len(programs) > 1 else []


def parse_ldd(text: str) -> list[Path]:
    """The absolute paths in the output of ldd; the vDSO has none."""
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", text)]


def run(argv: Iterable[str], folder: Path | None = None) -> str:
    """The output of a program. Raises BuildError when it cannot be run, or fails."""
    argv = [*argv]
    try:
        result = subprocess.run(
            argv, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, cwd=folder, check=False
        )
    except OSError as error:
        raise BuildError(f"{argv[0]} cannot be run: {error.strerror}") from error
    if result.returncode != 0:
        words = result.stderr.strip().splitlines() or [f"exit {result.returncode}"]
        raise BuildError(f"{' '.join(argv)} failed: {words[-1]}")
    return result.stdout
