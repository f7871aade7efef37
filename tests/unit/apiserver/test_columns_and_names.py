"""Ages as kubectl shortens them, and what names may be."""

import pytest

from apimachinery import names
from apiserver.registry import columns, metadata

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (9 * MINUTE + 59, "9m59s"),
        (10 * MINUTE + 30, "10m"), (179 * MINUTE, "179m"), (3 * HOUR, "3h"), (3 * HOUR + 5 * MINUTE, "3h5m"),
        (8 * HOUR + 5 * MINUTE, "8h"), (47 * HOUR, "47h"), (2 * DAY, "2d"), (2 * DAY + 3 * HOUR, "2d3h"),
        (8 * DAY, "8d"),
        (729 * DAY, "729d"), (730 * DAY, "2y"), (800 * DAY, "2y70d"), (9 * 365 * DAY, "9y"),
    ],
)  # fmt: skip
def test_ages(seconds: int, text: str) -> None:
    assert columns.duration(seconds) == text


def test_a_moment_that_is_none_has_no_age() -> None:
    assert columns.since(None) == "<unknown>"
    assert columns.since("2026-02-30T00:00:00Z") == "<invalid>"


def test_a_long_list_is_cut() -> None:
    assert columns.first_few(["a", "b", "c", "d", "e"], 3) == "a,b,c + 2 more..."
    assert columns.first_few([], 3) == "<none>"
    assert columns.labels_text({"b": "2", "a": "1"}) == "a=1,b=2"


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (names.dns_label, ["a", "a-b", "1a", "a" * 63], ["", "-a", "a-", "A", "a.b", "a" * 64, "a\n", "ä"]),
        (names.dns_label_1035, ["a", "a1"], ["1a", "a_b", ""]),
        (names.dns_subdomain, ["a.b", "a" * 253], ["a..b", ".a", "a_b", "a" * 254, "a/b", "a\n"]),
        (names.config_key, ["a", "A_b.c-d", ".x"], ["", ".", "..", "..a", "a/b", "a b"]),
        (names.port_name, ["http", "a1", "1a"], ["1", "a--b", "a" * 16, "-a", "HTTP"]),
        (names.qualified_name, ["a", "example.com/a", "A_b.c"], ["", "/a", "a/", "a/b/c", "Ex/a", "-a", "a" * 64]),
        (names.label_value, ["", "a", "A_b.c-1"], ["-a", "a b", "a" * 64, "a\n"]),
    ],
)
def test_what_names_may_be(rule: names.NameRule, good: list[str], bad: list[str]) -> None:
    assert [name for name in good if rule(name) is not None] == []
    assert [name for name in bad if rule(name) is None] == []


def test_generated_names_fit() -> None:
    assert len(metadata.generate_name("x" * 100)) == 63
    assert metadata.generate_name("web-").startswith("web-")
