"""A daemon as a process: its exit status, and that a signal ends it."""

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import asyncio, sys, time
from component_base import daemon, watchdog
from component_base.flags import Options

async def main(options):
    print("up", flush=True)
    {body}

daemon.GRACE = 0.5
watchdog.PERIOD, watchdog.REPORT_AFTER, watchdog.EXIT_AFTER = 0.05, 0.2, 1.0
daemon.run("example", main, Options())
"""


def start(body: str) -> subprocess.Popen[str]:
    program = PROGRAM.format(body=body.replace("\n", "\n    "))
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        _, errors = process.communicate(timeout=5)
    finally:
        process.kill()
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_root_task_and_ends_with_0(number: int) -> None:
    body = "try:\n  await asyncio.sleep(60)\nfinally:\n  print('cleaned', file=sys.stderr)"
    process = start(body)
    os.kill(process.pid, number)
    code, errors = end(process)
    assert code == 0
    assert "cleaned" in errors


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return", "the root task ended unexpectedly"),
        ("raise ValueError('no etcd')", "ValueError: no etcd"),
        ("raise asyncio.CancelledError", "the root task cancelled itself"),
    ],
)
def test_a_root_task_that_ends_without_a_signal_ends_with_1(body: str, message: str) -> None:
    code, errors = end(start(body))
    assert code == 1
    assert message in errors


def test_an_error_while_stopping_ends_with_1() -> None:
    process = start("try:\n  await asyncio.sleep(60)\nfinally:\n  raise ValueError('late')")
    os.kill(process.pid, signal.SIGTERM)
    code, errors = end(process)
    assert code == 1
    assert "late" in errors


def test_a_second_signal_ends_at_once() -> None:
    process = start(
        "try:\n  await asyncio.sleep(60)\nfinally:\n  print('stuck', flush=True)\n  await asyncio.sleep(60)"
    )
    os.kill(process.pid, signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "stuck\n"
    os.kill(process.pid, signal.SIGTERM)
    code, errors = end(process)
    assert code == 128 + signal.SIGTERM
    assert "second signal" in errors


@pytest.mark.parametrize(
    "body",
    [
        "await asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)",
        "try:\n  await asyncio.sleep(60)\nfinally:\n  time.sleep(60)",
    ],
    ids=["thread", "loop"],
)
def test_what_blocks_cannot_keep_the_process_beyond_the_grace_period(body: str) -> None:
    process = start(body)
    started = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    code, errors = end(process)
    assert code == 1
    assert "exiting at once" in errors
    assert time.monotonic() - started < 4


HELD = """
async def sync(key):
    end = time.monotonic() + {seconds}
    while time.monotonic() < end:
        pass
async def work():
    queue = WorkQueue("pods")
    queue.add("default/web")
    await process(queue, sync)
from kube_client import WorkQueue, process
task = asyncio.create_task(work())
await asyncio.sleep({seconds} + 0.5)
"""


def test_a_sync_that_holds_the_event_loop_is_named() -> None:
    code, errors = end(start(HELD.format(seconds=0.6)))
    assert code == 1
    assert "the event loop has been held for 0 s by pods-0 default/web, in:" in errors
    assert "in sync" in errors
    assert "the event loop runs again" in errors
    assert "the root task ended unexpectedly" in errors


def test_a_daemon_whose_event_loop_does_not_come_back_ends_with_1() -> None:
    code, errors = end(start(HELD.format(seconds=60)))
    assert code == 1
    assert "the event loop does not come back, exiting: pods-0 default/web" in errors


def test_time_in_which_a_daemon_is_stopped_as_a_whole_does_not_count_as_held() -> None:
    process = start("await asyncio.sleep(2)")
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1.5)
    os.kill(process.pid, signal.SIGCONT)
    code, errors = end(process)
    assert code == 1
    assert "held" not in errors
    assert "the root task ended unexpectedly" in errors
