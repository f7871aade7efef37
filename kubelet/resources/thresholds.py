"""Eviction thresholds: what ``--eviction-hard`` says, and which signals are below it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apimachinery import quantity
from component_base.values import format_bytes

MEMORY_SIGNAL = "memory.available"

CONDITIONS = {
    MEMORY_SIGNAL: "MemoryPressure",
    "nodefs.available": "DiskPressure",
    "nodefs.inodesFree": "DiskPressure",
    "imagefs.available": "DiskPressure",
    "pid.available": "PIDPressure",
}

RESOURCES = {
    MEMORY_SIGNAL: "memory",
    "nodefs.available": "ephemeral-storage",
    "nodefs.inodesFree": "inodes",
    "imagefs.available": "ephemeral-storage",
    "pid.available": "pids",
}
"""What the node is low on, as messages say."""


@dataclass(frozen=True)
class Threshold:
    signal: str
    amount: int = 0
    """Bytes, inodes or processes."""
    percent: float = 0.0
    """Of the capacity, where no amount is given."""

    def __str__(self) -> str:
        return f"{self.signal}<{self.percent:g}%" if self.percent else f"{self.signal}<{format_bytes(self.amount)}"

    def minimum(self, capacity: int) -> int:
        """How much has to be available of a capacity."""
        return self.amount or int(capacity * self.percent / 100)


@dataclass(frozen=True)
class Level:
    """The capacity of a resource, and how much of it is available."""

    capacity: int
    available: int


@dataclass(frozen=True)
class Shortage:
    threshold: Threshold
    level: Level

    @property
    def message(self) -> str:
        minimum = self.threshold.minimum(self.level.capacity)
        return (
            f"The node was low on resource: {RESOURCES[self.threshold.signal]}. "
            f"Threshold quantity: {minimum}, available: {self.level.available}. "
        )


def parse_threshold(text: str) -> Threshold:
    """Of ``memory.available<100Mi`` or ``nodefs.available<10%``. Raises ValueError."""
    signal, separator, level = text.partition("<")
    if not separator:
        raise ValueError(f'"{text}" must be "signal<quantity" or "signal<percent%"')
    if signal not in CONDITIONS:
        raise ValueError(f'unknown signal "{signal}": must be one of {", ".join(CONDITIONS)}')
    if not level.endswith("%"):
        amount = quantity.value(level)
        if amount < 0:
            raise ValueError(f'"{text}" must not be negative')
        return Threshold(signal, amount=amount)
    try:
        percent = float(level[:-1])
    except ValueError:
        raise ValueError(f'"{level}" is not a percentage') from None
    if not 0 <= percent <= 100:
        raise ValueError(f'"{level}" must be between 0% and 100%')
    return Threshold(signal, percent=percent)


def shortages(thresholds: Sequence[Threshold], levels: Mapping[str, Level]) -> list[Shortage]:
    """The signals below their threshold, memory first: its lack kills sooner than a full disk."""
    shortages = [
        Shortage(threshold, levels[threshold.signal]) for threshold in thresholds if threshold.signal in levels
    ]
    below = [s for s in shortages if s.level.available < s.threshold.minimum(s.level.capacity)]
    return sorted(below, key=lambda shortage: shortage.threshold.signal != MEMORY_SIGNAL)
