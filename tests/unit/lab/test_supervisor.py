"""Daemons that end are started again, later each time; those that somebody stopped are not."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.lab import pids, records, status, supervisor
from deploy.lab.pids import Process
from deploy.lab.records import Launch, Record

NOW = 1000.0
LASTING = "import time; time.sleep(60)"


class Daemon:
    """One daemon in a folder of records."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder / "run", folder / "run" / "node-1" / "kubelet.json"
        self.log = folder / "kubelet.log"

    def start(self, program: str) -> None:
        launch = Launch((sys.executable, "-c", program), str(self.folder.parent), str(self.log))
        records.write(self.path, Record(launch, records.spawn(launch)))

    @property
    def record(self) -> Record:
        record = records.read(self.path)
        assert record is not None
        return record

    def change(self, **fields: object) -> None:
        records.write(self.path, replace(self.record, **fields))  # type: ignore[arg-type]

    def crash(self) -> None:
        pids.kill(self.record.process)

    def tend(self, now: float) -> None:
        supervisor.tend(self.folder, self.path, now)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    try:
        yield daemon
    finally:
        daemon.crash()
        supervisor._reap()


def test_a_daemon_that_was_killed_is_started_again(daemon: Daemon) -> None:
    daemon.start(LASTING)
    daemon.tend(NOW)
    assert daemon.record.ended is None, "it runs"
    first = daemon.record.process
    daemon.crash()
    daemon.tend(NOW)
    assert (daemon.record.ended, daemon.record.retry) == (NOW, NOW + supervisor.FIRST_DELAY)
    daemon.tend(NOW + supervisor.FIRST_DELAY - 0.1)
    assert daemon.record.restarts == 0
    daemon.tend(NOW + supervisor.FIRST_DELAY)
    again = daemon.record
    assert again.process != first
    assert again.process.alive()
    assert (again.restarts, again.retry) == (1, None)


def test_one_that_somebody_stopped_stays_stopped(daemon: Daemon) -> None:
    daemon.start(LASTING)
    daemon.change(wanted=False)
    daemon.crash()
    daemon.tend(NOW)
    daemon.tend(NOW + 100)
    assert (daemon.record.restarts, daemon.record.ended) == (0, None)


def test_one_that_keeps_failing_is_started_ever_later_and_its_last_words_are_in_its_log(daemon: Daemon) -> None:
    daemon.start("print('no etcd')")
    now, delays = NOW, []
    for _ in range(8):
        wait_for(lambda: not daemon.record.process.alive())
        daemon.tend(now)
        retry = daemon.record.retry
        assert retry is not None
        delays.append(retry - now)
        now = retry
        daemon.tend(now)
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30]
    wait_for(lambda: daemon.log.read_text() == "no etcd\n" * 9)


def test_the_failure_of_one_that_ran_for_a_while_counts_as_the_first() -> None:
    minute_ago = Process(2**30, pids.now() - 6100)
    record = Record(Launch((), "/", ""), minute_ago, failures=9, restarts=9)
    ended = supervisor.found_ended(record, NOW)
    assert (ended.failures, ended.retry) == (1, NOW + supervisor.FIRST_DELAY)


def test_a_supervisor_adopts_what_others_started_and_its_own_end_harms_nobody(daemon: Daemon) -> None:
    daemon.start(LASTING)
    command = [sys.executable, "-m", "deploy.lab.supervisor", str(daemon.folder)]
    for number, restarts in ((signal.SIGKILL, 1), (signal.SIGTERM, 2)):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            daemon.crash()
            wait_for(lambda restarts=restarts: daemon.record.restarts == restarts and daemon.record.process.alive())
            process.send_signal(number)
        assert daemon.record.process.alive()


def test_what_it_cannot_start_does_not_end_it(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.start(LASTING)
    daemon.change(launch=replace(daemon.record.launch, command=("/no/such/program",)))
    daemon.crash()
    daemon.tend(NOW)
    daemon.tend(NOW + 1)
    assert "No such file" in capsys.readouterr().out
    retry = daemon.record.retry
    assert retry is not None
    assert retry > NOW + 1


def test_status_says_how_often_it_was_started_again_and_what_is_backing_off(daemon: Daemon) -> None:
    daemon.start(LASTING)
    assert status.restarts(daemon.record, NOW) == "0"
    daemon.change(restarts=3, ended=NOW - 7)
    assert status.restarts(daemon.record, NOW) == "3 (7s ago)"
    daemon.change(retry=NOW + 16)
    assert status.absence(daemon.record, NOW) == "ended, started again in 16s"
    daemon.change(wanted=False, retry=None)
    assert status.absence(daemon.record, NOW) == "stopped"
    assert status.absence(None, NOW) == "not running"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
