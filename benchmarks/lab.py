"""A lab of the benchmark's own: one node, brought up and always removed again by ``deploy.lab``."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.children import module, stop
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from benchmarks.machine import CHECKOUT
from deploy.lab import daemons, processes
from deploy.lab.commands import lab_for
from deploy.lab.execute import in_namespace
from deploy.lab.lab import Lab

NAME = "bench"
NODE = "node-1"
_UP_SECONDS = 300.0


@contextmanager
def bench_lab() -> Iterator[Lab]:
    """The lab, with its example running. Nothing of it is left after the block, whatever happens in it."""
    if os.geteuid() != 0:
        raise BenchmarkError("a lab needs root")
    try:
        _lab("up", "--nodes", "1")
        yield lab_for(NAME)
    finally:
        _lab("clean")


def endpoint_of(lab: Lab) -> Endpoint:
    apiserver = daemons.control_plane(lab)[0]
    process = processes.running(lab, apiserver)
    return Endpoint(lab.server, lab.token.read_text().strip(), lab.pki / "ca.crt", process.pid if process else None)


def on_node(lab: Lab) -> list[str]:
    """A prefix that runs a command line inside the node's namespace."""
    return in_namespace(lab.namespace(NODE), [])


def _lab(*arguments: str) -> None:
    """Run one command of the lab; its lines go to stderr, since stdout is for the figures."""
    argv: Sequence[str] = module("deploy.lab", "--lab", NAME, *arguments)
    # in a session of its own: Ctrl-C is ours, and must not interrupt the lab while it cleans up
    process = subprocess.Popen(argv, cwd=CHECKOUT, stdout=sys.stderr, start_new_session=True)
    try:
        code = process.wait(_UP_SECONDS)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"the lab's {arguments[0]!r} did not end within {_UP_SECONDS:g} s") from None
    finally:
        stop(process, patience=30)
    if code != 0:
        raise BenchmarkError(f"the lab's {arguments[0]!r} failed; its words are above")
