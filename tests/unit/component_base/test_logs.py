"""The format of log lines, and that logging never raises."""

import io
import json
import logging
import re
import sys

import pytest

from component_base import logs


@pytest.fixture(autouse=True)
def root_as_it_was():
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], logging.raiseExceptions = handlers, raising
    root.setLevel(level)


def lines(monkeypatch: pytest.MonkeyPatch, format: str, verbosity: int) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.setup(format, verbosity)
    return stream


def test_text_is_as_klog_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = lines(monkeypatch, "text", 2)
    logging.getLogger("kubelet.pods").info("%s: started", "default/a")
    pattern = r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ kubelet\.pods:\d+\] default/a: started\n"
    assert re.fullmatch(pattern, stream.getvalue())


def test_json_is_one_object_a_line_with_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = lines(monkeypatch, "json", 2)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("a").exception("%s: failed", "x")
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert (record["level"], record["logger"], record["msg"]) == ("error", "a", "x: failed")
    assert "ValueError: two" in record["exception"]


@pytest.mark.parametrize(("verbosity", "shown_levels"), [(0, "w"), (2, "iw"), (4, "diw")])
def test_verbosity_decides_what_is_logged(monkeypatch: pytest.MonkeyPatch, verbosity: int, shown_levels: str) -> None:
    stream = lines(monkeypatch, "text", verbosity)
    log = logging.getLogger("a")
    log.debug("d"), log.info("i"), log.warning("w")
    assert "".join(line[-1] for line in stream.getvalue().splitlines()) == shown_levels


def test_a_closed_standard_error_costs_the_line_only(monkeypatch: pytest.MonkeyPatch) -> None:
    lines(monkeypatch, "text", 2).close()
    logging.getLogger("a").info("lost")
    logging.getLogger("a").info("%d", "not a number")
    logs.flush()


def test_lines_beyond_the_limit_are_counted_instead_of_logged() -> None:
    now = 0.0
    limit = logs.RateLimit(burst=3, window=10, clock=lambda: now)

    def write(line: int) -> str | None:
        record = logging.LogRecord("x", logging.INFO, "x.py", line, "lost %s", ("a",), None)
        return record.getMessage() if limit.filter(record) else None

    assert [write(1) for _ in range(5)] == ["lost a"] * 3 + [None] * 2
    assert write(2) == "lost a"  # another line of code has its own limit
    now = 10.0
    assert write(1) == "lost a (2 similar lines dropped before this one)"
    assert write(1) == "lost a"
    now = 20.0
    assert write(1) == "lost a"
