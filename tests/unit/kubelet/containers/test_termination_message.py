"""What a container's last words are, and how many."""

import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from kubelet.containers.termination_message import falls_back_to_log, limited, message_mount, read_file
from tests.unit.kubelet.records import make_pod, record


def test_a_file_of_its_own_for_each_attempt(tmp_path: Path) -> None:
    mounts = [message_mount(tmp_path, "main", attempt, "/dev/termination-log") for attempt in (0, 1)]
    assert mounts[0].source != mounts[1].source
    assert mounts[1].source.stat().st_mode & 0o777 == 0o666
    mounts[1].source.write_text("x" * 5000 + "end")
    message = read_file(tmp_path, record(attempt=1, state="exited"))
    assert len(message) == 4096
    assert message.endswith("end")
    assert read_file(tmp_path, record(attempt=0, state="exited")) == ""
    assert read_file(tmp_path, record(attempt=7, state="exited")) == ""


def test_a_huge_file_is_read_from_its_end(tmp_path: Path) -> None:
    os.truncate(message_mount(tmp_path, "main", 0, "/dev/termination-log").source, 3 * 1024**3)
    tracemalloc.start()
    assert read_file(tmp_path, record(state="exited")) == "\0" * 4096
    assert tracemalloc.get_traced_memory()[1] < 1024**2
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("policy", "fields", "asks"),
    [
        ("File", {"exit_code": 1}, False),
        (None, {"exit_code": 1}, False),
        ("FallbackToLogsOnError", {"exit_code": 1}, True),
        ("FallbackToLogsOnError", {"exit_code": 0}, False),
        ("FallbackToLogsOnError", {"exit_code": 0, "oom_killed": True}, True),
    ],
)
def test_when_the_log_is_asked(policy: str | None, fields: dict[str, Any], asks: bool) -> None:
    pod = make_pod()
    pod.spec.containers[0].termination_message_policy = policy
    assert falls_back_to_log(pod, record(state="exited", **fields)) == asks


@pytest.mark.parametrize(("containers", "share"), [(1, 5000), (3, 4096), (6, 2048), (0, 5000)])
def test_the_pod_s_limit_is_shared(containers: int, share: int) -> None:
    assert len(limited("x" * 5000, containers)) == share


def test_a_limit_cuts_no_character_in_two() -> None:
    assert limited("ä" * 2000, 6) == "ä" * 1024
    assert limited("x" + "ä" * 2000, 6) == "x" + "ä" * 1023
