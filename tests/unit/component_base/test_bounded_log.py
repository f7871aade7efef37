"""What a client does wrong again and again is logged a few times."""

import logging

import pytest

from component_base.bounded_log import BoundedLog


def test_only_so_many_lines_in_so_much_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 100.0
    log = BoundedLog(logging.getLogger("bounded"), lines=2, seconds=60, clock=lambda: now)
    for i in range(5):
        log.info("bad stream %d", i)
    assert caplog.messages == ["bad stream 0", "bad stream 1"]
    now = 160.0
    log.info("bad stream %d", 5)
    assert caplog.messages[2:] == ["3 lines like the last ones were left out", "bad stream 5"]
