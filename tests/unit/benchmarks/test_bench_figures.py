"""What a run's samples become: medians, targets, the table and the JSON document."""

import json
from pathlib import Path

import pytest

from benchmarks.budget import GOALS, Goal
from benchmarks.measure import median, percentile
from benchmarks.report import DIRECT, PEER, Report, Row, show


@pytest.mark.parametrize(
    ("samples", "expected"),
    [([3.0], 3.0), ([5.0, 1.0, 3.0], 3.0), ([4.0, 1.0, 2.0, 9.0], 3.0)],
)
def test_the_median_is_in_the_middle(samples: list[float], expected: float) -> None:
    assert median(samples) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)],
)
def test_a_percentile_is_a_sample_of_that_rank(share: float, expected: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == expected


def test_no_samples_make_no_figure() -> None:
    with pytest.raises(ValueError, match="no samples"):
        median([])
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)


RATE = Goal("GET", "/s", "another", 1000, 1.5)
DELAY = Goal("delay", "ms", "another", 40, 0.5, at_most=True)


@pytest.mark.parametrize(
    ("goal", "value", "measured", "expected"),
    [
        pytest.param(RATE, 1500, None, True, id="just enough"),
        pytest.param(RATE, 1499, None, False, id="too slow"),
        pytest.param(RATE, 1499, 900, True, id="the peer was slower in this run"),
        pytest.param(DELAY, 20, None, True, id="just in time"),
        pytest.param(DELAY, 21, None, False, id="too late"),
        pytest.param(Goal("x", "s", "another", None, 1.5), 1, None, None, id="nothing to compare with"),
    ],
)
def test_a_goal_is_a_ratio_to_the_peer(goal: Goal, value: float, measured: float | None, expected: bool | None) -> None:
    assert goal.reached(value, measured) is expected


def report(*rows: Row) -> Report:
    return Report({"date": "today", "versions": {"etcd": "3.4"}}, {"runs": 3}, list(rows))


def test_the_document_puts_the_target_beside_the_figure(tmp_path: Path) -> None:
    made = report(Row("get", [6000.0, 5000.0, 7000.0], "/s", details={"generator": "wrk"}))
    made.failures["pods"] = "a lab needs root"
    made.write(tmp_path / "figures.json")
    document = json.loads((tmp_path / "figures.json").read_text())
    [row] = document["rows"]
    assert (row["value"], row["min"], row["max"], row["samples"]) == (6000, 5000, 7000, [6000, 5000, 7000])
    assert (row["target"], row["reached"], row["peer_measured_in_this_run"]) == (5550, True, False)
    assert row["details"] == {"generator": "wrk"}
    assert document["failures"] == {"pods": "a lab needs root"}
    assert document["machine"]["versions"] == {"etcd": "3.4"}


def test_a_peer_of_the_same_run_sets_the_target() -> None:
    made = report(Row("get", [6000.0], "/s"), Row("get", [5000.0], "/s", PEER))
    ours, theirs = made.document()["rows"]
    assert (ours["target"], ours["reached"], ours["peer_measured_in_this_run"]) == (7500, False, True)
    assert "target" not in theirs, "only our own rows have one"


def test_the_table_says_what_is_reached_and_what_is_not() -> None:
    made = report(Row("get", [6000.0], "/s"), Row("post", [100.0], "/s"), Row("get", [9000.0], "/s", DIRECT))
    made.failures["pods"] = "a lab needs root"
    lines = made.table().splitlines()
    get = next(line for line in lines if line.startswith("GET one object"))
    post = next(line for line in lines if line.startswith("POST a pod"))
    assert [cell.strip() for cell in get.split("|")[1:5]] == ["6,000/s", "", ">= 5,550/s", "yes"]
    assert post.split("|")[4].strip() == "NO"
    assert any("direct" in line and "9,000/s" in line for line in lines)
    assert lines[-1] == "pods: not measured: a lab needs root"


def test_rows_stand_in_the_budgets_order() -> None:
    made = report(Row("post", [1.0], "/s"), Row("memory", [1.0], "MB"), Row("get", [1.0], "/s"))
    titles = [line.split("|")[0].strip() for line in made.table().splitlines()]
    shown = [title for title in titles if title in {goal.title for goal in GOALS.values()}]
    assert shown == [GOALS[work].title for work in ("get", "post", "memory")]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(12345.6, "/s", "12,346/s"), (20.04, "us", "20.0 us"), (0.384, "s", "0.38 s")],
)
def test_figures_are_shown_with_the_digits_that_count(value: float, unit: str, expected: str) -> None:
    assert show(value, unit) == expected
