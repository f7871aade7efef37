"""What was measured, as JSON for programs and as a table for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.budget import GOALS, Goal
from benchmarks.measure import median

OURS = "Peapod"
PEER = "peer"
DIRECT = "direct"


@dataclass(frozen=True)
class Row:
    """One piece of work done by one subject: samples of one unit, and what else was observed meanwhile."""

    work: str
    """A key of the budget, or any other word for a row without a target."""
    samples: Sequence[float]
    unit: str
    subject: str = OURS
    """Peapod, the peer of the same run, or what the figure is compared with (a direct connection)."""
    title: str = ""
    """For rows outside the budget."""
    details: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def value(self) -> float:
        return median(self.samples)


@dataclass
class Report:
    machine: dict[str, Any]
    parameters: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """By group, why it could not be measured."""
    seconds: float = 0.0

    def peer_of(self, work: str) -> float | None:
        """The peer's figure of this very run."""
        return next((row.value for row in self.rows if row.work == work and row.subject == PEER), None)

    def document(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "parameters": self.parameters,
            "seconds": round(self.seconds, 1),
            "rows": [self._row(row) for row in self.rows],
            "failures": self.failures,
        }

    def _row(self, row: Row) -> dict[str, Any]:
        entry: dict[str, Any] = asdict(row)
        entry |= {"title": _title(row), "value": row.value, "min": min(row.samples), "max": max(row.samples)}
        goal = GOALS.get(row.work)
        if goal and row.subject == OURS:
            peer = self.peer_of(row.work)
            entry |= {
                "peer": goal.peer,
                "peer_value": goal.peer_figure if peer is None else peer,
                "peer_measured_in_this_run": peer is not None,
                "target": goal.target(peer),
                "reached": goal.reached(row.value, peer),
            }
        return entry

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.document(), indent=2) + "\n")

    def table(self) -> str:
        """The rows with a target, then all others, then what failed."""
        blocks = [_machine_line(self.machine)]
        order = list(GOALS)
        ours = [row for row in self.rows if row.subject == OURS and row.work in GOALS]
        ours.sort(key=lambda row: order.index(row.work))
        if ours:
            blocks.append(_aligned([_HEADING, *(self._cells(row) for row in ours)]))
        others = [row for row in self.rows if row.subject != OURS or row.work not in GOALS]
        if others:
            heading = ("also measured", "who", "figure", "min - max", "note")
            blocks.append(_aligned([heading, *(_other_cells(row) for row in others)]))
        blocks += [f"{group}: not measured: {reason}" for group, reason in self.failures.items()]
        return "\n\n".join(blocks)

    def _cells(self, row: Row) -> tuple[str, ...]:
        goal, peer = GOALS[row.work], self.peer_of(row.work)
        target = goal.target(peer)
        if target is None:
            goal_text, reached = "-", "-"
        else:
            goal_text = f"{'<=' if goal.at_most else '>='} {show(target, goal.unit)}"
            reached = "yes" if goal.reached(row.value, peer) else "NO"
        return (goal.title, show(row.value, row.unit), _range(row), goal_text, reached, _peer(goal, peer), row.note)


_HEADING = ("work", OURS, "min - max", "target", "reached", "the peer", "note")


def _title(row: Row) -> str:
    return row.title or (GOALS[row.work].title if row.work in GOALS else row.work)


def _other_cells(row: Row) -> tuple[str, ...]:
    return (_title(row), row.subject, show(row.value, row.unit), _range(row), row.note)


def _range(row: Row) -> str:
    if len(row.samples) < 2:
        return ""
    return f"{_number(min(row.samples))} - {_number(max(row.samples))}"


def _peer(goal: Goal, measured: float | None) -> str:
    if measured is not None:
        return f"{show(measured, goal.unit)}, this run"
    return "" if goal.peer_figure is None else show(goal.peer_figure, goal.unit)


def show(value: float, unit: str) -> str:
    """A figure with its unit, three digits of it at least."""
    return f"{_number(value)}{unit}" if unit.startswith("/") else f"{_number(value)} {unit}"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _machine_line(machine: Mapping[str, Any]) -> str:
    parts = [f"{key}: {value}" for key, value in machine.items() if isinstance(value, str | int | float)]
    return "\n".join(parts)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, a rule under the heading."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(lines)
