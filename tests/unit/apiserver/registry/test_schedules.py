"""Which schedules a cron job may have."""

import pytest

from apiserver.registry.batch.schedules import fault


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * * *",
        "*/5 0-6 1,15 jan-mar MON",
        "0 0 ? * 0",
        "@daily",
        "@every 1h30m",
        "CRON_TZ=UTC 0 0 * * *",
        "5/10 * * * *",
    ],
)
def test_schedules_that_are_understood(schedule: str) -> None:
    assert fault(schedule) is None


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("* * * *", "expected exactly 5 fields, found 4"),
        ("60 * * * *", "between 0 and 59"),
        ("* 24 * * *", "between 0 and 23"),
        ("* * 0 * *", "between 1 and 31"),
        ("* * * 13 *", "between 1 and 12"),
        ("* * * * 7", "between 0 and 6"),
        ("9-5 * * * *", "beyond end of range"),
        ("*/0 * * * *", "positive number"),
        ("x * * * *", "failed to parse minute"),
        ("1-2-3 * * * *", "failed to parse minute"),
        ("@often", "unrecognized descriptor"),
        ("@every", "unrecognized descriptor"),
        ("TZ=UTC", "empty spec"),
        ("²/5 * * * *", "failed to parse"),
    ],
)
def test_schedules_that_are_not(schedule: str, why: str) -> None:
    assert why in (fault(schedule) or "")
