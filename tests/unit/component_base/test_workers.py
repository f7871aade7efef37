"""Workers as real processes: replaced, stopped, given up, and never leaked."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

PROGRAM = """
import sys, os, signal
from component_base import workers
workers.TRIAL = float(sys.argv[2])
def work(n):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # a handler could run just before a sleep begins
    os.write(1, b"%d\\n" % os.getpid())
    if sys.argv[1] == "fail":
        os._exit(3)
    signal.sigwait([signal.SIGTERM])
    os._exit(0)
workers.supervise(2, work)
"""


def start(behaviour: str = "serve", trial: float = 0.0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, behaviour, str(trial)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture
def parent() -> Iterator["subprocess.Popen[str]"]:
    process = start()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def pids(process: "subprocess.Popen[str]", count: int) -> list[int]:
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)]


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def all_ended(*workers: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not any(map(is_alive, workers)):
            return True
        time.sleep(0.01)
    return False


def test_a_worker_that_is_killed_is_replaced(parent: "subprocess.Popen[str]") -> None:
    first, second = pids(parent, 2)
    os.kill(first, signal.SIGKILL)
    [third] = pids(parent, 1)
    assert third not in (first, second)
    assert is_alive(second)
    assert is_alive(third)


def test_a_signal_to_the_parent_ends_all_in_order(parent: "subprocess.Popen[str]") -> None:
    workers = pids(parent, 2)
    parent.terminate()
    assert parent.wait(5) == 0
    assert all_ended(*workers)


def test_workers_do_not_outlive_a_parent_that_was_killed(parent: "subprocess.Popen[str]") -> None:
    workers = pids(parent, 2)
    parent.kill()
    assert all_ended(*workers)


def test_workers_that_fail_at_their_start_are_not_restarted_for_ever() -> None:
    process = start("fail", trial=5.0)
    with process:
        assert process.wait(10) == 1
