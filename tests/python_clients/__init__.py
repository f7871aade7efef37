"""Versions of the clients for Python that people still use, each in an environment of its own, the same everywhere.

A file of requirements pins each, with all that it needs, by hashes. Environments are cached.
"""

import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

VERSIONS: Final = ("kubernetes-12", "kubernetes-31", "kubernetes-36", "kubernetes-37", "kubernetes_asyncio-32")
CACHE: Final = Path("/var/tmp/peapod-python-clients")


@cache
def interpreter(version: str) -> Path:
    """A Python that can import that client and nothing of ours; it is installed if it is missing."""
    python = "bin/python"
    folder = CACHE / f"{version}-{sys.version_info.major}.{sys.version_info.minor}"
    if not folder.exists():
        CACHE.mkdir(exist_ok=True)
        requirements = Path(__file__).with_name(f"{version}.txt")
        uv = [sys.executable, "-m", "uv"]
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            new = Path(temporary) / folder.name
            _run(*uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(new))
            _run(
                *uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                str(new / python),
                "--require-hashes",
                "-r",
                str(requirements),
            )
            new.rename(folder)  # complete or not at all
    return folder / python


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stderr}"
