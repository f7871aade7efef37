"""Continuous requests to a service while a test changes the cluster.

Runs as a script in a machine's network (``python traffic.py URL``): one connection after the other, with a line of JSON
for each, until its standard input closes.
"""

import json
import select
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.lab import Lab

_PAUSE = 0.01
_TIMEOUT = 5.0


@dataclass
class Traffic:
    """The results of the requests: (time, error or None), in order. Complete when the block ends."""

    results: list[tuple[float, str | None]] = field(default_factory=list)

    @property
    def failures(self) -> list[tuple[float, str]]:
        return [(at, error) for at, error in self.results if error is not None]

    def failures_after(self, moment: float) -> list[tuple[float, str]]:
        """Those that began later than ``moment`` (``time.time()``)."""
        return [(at, error) for at, error in self.failures if at > moment]


@contextmanager
def flowing(lab: Lab, machine: str, url: str) -> Iterator[Traffic]:
    """Send requests from ``machine`` until the block ends."""
    traffic = Traffic()
    entered = ["nsenter", f"--net=/run/netns/{lab.lab.namespace(machine)}", sys.executable, "-m", __name__, url]
    process = subprocess.Popen(entered, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield traffic
    finally:
        output, _ = process.communicate(timeout=_TIMEOUT + 5)
        lines: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
        traffic.results = [(line["at"], line["error"]) for line in lines]
    assert len(traffic.results) > 20, "requests did flow"


def main(url: str) -> None:
    while not select.select([sys.stdin], [], [], _PAUSE)[0]:
        at, error = time.time(), None
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as reply:
                reply.read()
        except (OSError, urllib.error.URLError) as fault:
            error = repr(fault)
        print(json.dumps({"at": at, "error": error}))


if __name__ == "__main__":
    main(sys.argv[1])
