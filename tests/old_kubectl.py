"""kubectl 1.20, the oldest that is meant to work: Debian's package, unpacked beside the newer one."""

import subprocess
from pathlib import Path

CACHE = Path("/var/tmp/peapod-kubectl-1.20")


def path() -> Path:
    """The program; fetched from Debian's packages the first time. As a package it would clash with a newer one."""
    program = CACHE / "usr/bin/kubectl"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = "apt-get download kubernetes-client && dpkg -x kubernetes-client_*.deb ."
        done = subprocess.run(["sh", "-c", command], cwd=CACHE, capture_output=True, text=True)
        assert program.exists(), f"Debian's kubernetes-client could not be had: {done.stderr}"
    return program
