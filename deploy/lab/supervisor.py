"""Starts daemons again that ended without being asked to, as a service manager would: one process for each lab.

It is not the parent of what others started and keeps nothing in memory: it looks at the records. So it may be killed at
any time, which takes no daemon down, and another one goes on where it was. A daemon that ends again soon is started after
a delay that doubles each time; its last words are in its log. Uses little more than the standard library, to be small.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.lab import records
from deploy.lab.records import Record

PERIOD: Final = 0.5
"""Seconds between two looks."""
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
STEADY: Final = 60.0
"""Seconds that a daemon has to run for its next failure to count as the first."""


def main() -> None:
    """``python -m deploy.lab.supervisor FOLDER``: until a signal, or until the folder of records is gone."""
    folder, stop = Path(sys.argv[1]), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())  # never between starting a daemon and recording it
    while folder.is_dir() and not stop.wait(PERIOD):
        _reap()
        for path in records.paths(folder):
            try:
                tend(folder, path, time.monotonic())
            except OSError as error:  # a full disk, for instance; the others are not to suffer
                _say(path, f"cannot be looked after: {error}")


def _reap() -> None:
    """Those that this process has started itself."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def tend(folder: Path, path: Path, now: float) -> None:
    """Do what one daemon needs; ``now`` is in seconds of ``time.monotonic``."""
    if not _is_missing(records.read(path)):
        return
    with records.locked(folder):
        record = records.read(path)
        if record is None or not _is_missing(record):
            return  # a command was faster
        if record.retry is None:
            record = found_ended(record, now)
            _say(path, f"ended, and is started again in {(record.retry or now) - now:g} s; see {record.launch.log}")
        if record.retry is not None and record.retry <= now:
            record = _started_again(path, record, now)
        records.write(path, record)


def _is_missing(record: Record | None) -> bool:
    return record is not None and record.wanted and not record.process.alive()


def found_ended(record: Record, now: float) -> Record:
    """With the time at which it is to be started again."""
    ran = record.process.age
    failures = 1 if ran >= STEADY else record.failures + 1
    delay = min(FIRST_DELAY * 2 ** min(failures - 1, 20), LONGEST_DELAY)
    return replace(record, failures=failures, ended=now, retry=now + delay)


def _started_again(path: Path, record: Record, now: float) -> Record:
    try:
        process = records.spawn(record.launch)
    except OSError as error:
        _say(path, f"cannot be started: {error}")
        return replace(record, retry=now + LONGEST_DELAY)
    _say(path, f"started again as pid {process.pid}; restarts: {record.restarts + 1}")
    return replace(record, process=process, restarts=record.restarts + 1, retry=None)


def _say(path: Path, what: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {path.parent.name}/{path.stem} {what}", flush=True)


if __name__ == "__main__":
    main()
