"""When somebody is warned of a certificate that ends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apimachinery.core.certificates import Validity, warnings

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
FILE = Path("/pki/a.crt")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("life", "age", "reasons"),
    [
        (365 * DAY, 334 * DAY, []),
        (365 * DAY, 336 * DAY, ["CertificateExpiring"]),
        (365 * DAY, 365 * DAY, ["CertificateExpired"]),
        (10 * HOUR, 8.9 * HOUR, []),
        (10 * HOUR, 9.1 * HOUR, ["CertificateExpiring"]),
    ],
)
def test_it_is_30_days_ahead_or_the_last_tenth_of_a_short_life(
    life: timedelta, age: timedelta, reasons: list[str]
) -> None:
    said = [*warnings({FILE: Validity(SINCE, SINCE + life)}, SINCE + age)]
    assert [reason for reason, _ in said] == reasons
    assert all(str(FILE) in message for _, message in said)
