"""How objects look in a table: what ``kubectl get`` prints, column by column."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from apimachinery import meta
from apimachinery.types.meta_v1 import TableColumnDefinition
from apimachinery.types.objects import KubeObject

T = TypeVar("T", bound=KubeObject)
Contra = TypeVar("Contra", bound=KubeObject, contravariant=True)


@dataclass(frozen=True, slots=True)
class Column(Generic[Contra]):
    """One column. ``priority`` 0 is always shown, 1 with ``-o wide``."""

    name: str
    cell: Callable[[Contra], object]
    type: str = "string"
    format: str = ""
    priority: int = 0

    def definition(self) -> TableColumnDefinition:
        description = _DESCRIPTIONS.get(self.name, self.name)
        return TableColumnDefinition(
            name=self.name, type=self.type, format=self.format, description=description, priority=self.priority
        )


_DESCRIPTIONS = {
    "Name": "The object's name, unique in its namespace.",
    "Age": "Time since the object was created.",
}


def name() -> Column[KubeObject]:
    return Column("Name", meta.name_of, format="name")


def age() -> Column[KubeObject]:
    return Column("Age", lambda obj: since(obj.metadata.creation_timestamp))


def wide(column: str, cell: Callable[[T], object], type: str = "string") -> Column[T]:
    return Column(column, cell, type=type, priority=1)


def since(moment: str | None) -> str:
    """How long ago, as kubectl shortens it."""
    if not moment:
        return "<unknown>"
    try:
        return duration((datetime.now(UTC) - meta.parse_time(moment)).total_seconds())
    except ValueError:  # a day that no month has
        return "<invalid>"


def duration(seconds: float) -> str:
    """``90s``, ``5m10s``, ``10m``, ``3h5m``, ``10h``, ``2d3h``, ``10d``: the two units that matter."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return _pair(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _pair(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    years = days // 365
    return _pair(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _pair(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"


def labels_text(labels: Mapping[str, str] | None) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted((labels or {}).items())) or "<none>"


def joined(values: Iterable[str]) -> str:
    return ",".join(values) or "<none>"


def first_few(values: Sequence[str], limit: int) -> str:
    """The first values, and how many more there are."""
    text = ",".join(values[:limit]) or "<none>"
    return f"{text} + {len(values) - limit} more..." if len(values) > limit else text
