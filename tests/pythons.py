"""``make check`` on each Python that Peapod promises: ``python -m tests.pythons``. One that is missing is a failure."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.lab.bootstrap import CHECKOUT, PYTHONS


def main() -> int:
    (major, oldest), (_, newest) = PYTHONS
    for minor in range(oldest, newest + 1):
        version = f"{major}.{minor}"
        program = interpreter(version)
        if program is None:
            print(f"Python {version} is not on this machine: neither on the PATH nor among pyenv's", file=sys.stderr)
            return 1
        print(f"==> Python {version}: {program}", flush=True)
        command = ["make", "--no-print-directory", "check", f"PYTHON={program}", f"VENV=.venv-{version}"]
        if code := subprocess.run(command, cwd=CHECKOUT).returncode:
            return code
    print(f"Lint, types and unit tests pass on Python {major}.{oldest} to {major}.{newest}.")
    return 0


def interpreter(version: str) -> Path | None:
    """The first that runs; pyenv's shims on the PATH may be of versions that are not chosen."""
    return next((program for program in _candidates(version) if _runs(program, version)), None)


def _candidates(version: str) -> Iterator[Path]:
    for folder in os.environ["PATH"].split(os.pathsep):
        yield Path(folder) / f"python{version}"
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(versions.glob(f"{version}.*/bin/python{version}"), reverse=True)


def _runs(program: Path, version: str) -> bool:
    if not program.exists():
        return False
    ask = [str(program), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(ask, capture_output=True, text=True).stdout.strip() == version


if __name__ == "__main__":
    sys.exit(main())
