"""What etcd says of failed calls, in the log."""

import pytest

from apiserver.storage.etcd import failures
from apiserver.storage.etcd.failures import FailureLog


def test_a_repetition_is_counted_until_a_pause_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr(failures.time, "monotonic", lambda: now)
    log = FailureLog()
    for _ in range(5):
        log.failed("txn", "UNAVAILABLE", "etcdserver: leader changed")
    log.failed("txn", "UNAVAILABLE", "etcdserver: request timed out")
    now += failures.PAUSE
    log.failed("txn", "UNAVAILABLE", "etcdserver: leader changed")
    assert [record.getMessage() for record in caplog.records] == [
        "etcd: txn failed: UNAVAILABLE: etcdserver: leader changed",
        "etcd: txn failed: UNAVAILABLE: etcdserver: request timed out",
        "etcd: txn failed: UNAVAILABLE: etcdserver: leader changed (4 times more since)",
    ]


def test_what_is_remembered_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog()
    for n in range(1000):
        log.failed("txn", "UNKNOWN", f"{n} " + "x" * 10_000)
    assert len(log._last) <= 100
    assert max(len(record.getMessage()) for record in caplog.records) < 1100
