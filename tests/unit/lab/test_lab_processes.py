"""Records, signals and stopping, with real short-lived processes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.lab import pids, records
from deploy.lab.pids import Process
from deploy.lab.records import Launch, Record

# Prints a line once its handlers are installed, so that no signal comes before.
WILLING = "import sys, time; print(); sys.stdout.flush(); time.sleep(60)"
ORDERLY = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); " + WILLING
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WILLING


class Children:
    """Starts processes, and ends all of them with the test."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._handles: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, program: str = WILLING) -> Process:
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert child.stdout is not None
        self._stack.callback(child.wait)
        self._stack.callback(child.kill)
        self._stack.callback(child.stdout.close)
        child.stdout.readline()
        self._handles[child.pid] = child
        process = pids.process_of(child.pid)
        assert process is not None
        return process

    def exit_code(self, process: Process) -> int:
        return self._handles[process.pid].wait(timeout=5)


@pytest.fixture
def children() -> Iterator[Children]:
    with ExitStack() as stack:
        yield Children(stack)


def record(process: Process) -> Record:
    return Record(
        Launch(("sleep", "60"), "/", "/dev/null", {"A": "b"}, ("/tmp/x",)), process, "f", failures=2, retry=1.5
    )


def test_a_record_is_read_as_it_was_written(tmp_path: Path, children: Children) -> None:
    written = record(children.start())
    path = records.path_of(tmp_path, "node-1", "kubelet")
    records.write(path, written)
    assert records.read(path) == written
    assert records.paths(tmp_path) == [path]


def test_a_pid_that_another_process_has_now_is_not_taken_for_the_daemon(children: Children) -> None:
    process = children.start()
    earlier = Process(process.pid, process.started - 1)
    assert not earlier.alive()
    assert not earlier.signal(signal.SIGKILL)
    pids.kill(earlier)
    assert process.alive()


def test_a_record_from_before_a_reboot_means_nothing(tmp_path: Path, children: Children) -> None:
    path = tmp_path / "a.json"
    records.write(path, record(children.start()))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "another"}))
    assert records.read(path) is None


@pytest.mark.parametrize("text", ["", "{}", "17", '{"pid": "x"}', '{"pid": 1, "started": 2, "fingerprint": ""}'])
def test_a_broken_record_means_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert records.read(tmp_path / "a.json") is None
    assert records.read(tmp_path / "none.json") is None


def test_a_zombie_is_not_alive(children: Children) -> None:
    process = children.start()
    pids.kill(process)  # its parent, this test, has not waited for it
    assert Path(f"/proc/{process.pid}").exists()
    assert not process.alive()


def test_processes_end_together_and_the_stubborn_ones_by_force(children: Children) -> None:
    willing, stubborn = children.start(), children.start(STUBBORN)
    began = time.monotonic()
    pids.end([willing, stubborn], seconds=0.3)
    assert time.monotonic() - began < 3
    assert children.exit_code(willing) == -signal.SIGTERM
    assert children.exit_code(stubborn) == -signal.SIGKILL


def test_a_paused_process_ends_in_its_own_way_too(children: Children) -> None:
    process = children.start(ORDERLY)
    process.signal(signal.SIGSTOP)
    pids.end([process], seconds=3)
    assert children.exit_code(process) == 3


def test_age_counts_from_the_start(children: Children) -> None:
    assert 0 <= children.start().age < 5
