"""Eviction thresholds: what ``--eviction-hard`` says, and which signals are over it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apimachinery import quantity

CONDITIONS = {
    "memory.available": "MemoryPressure",
    "nodefs.available": "DiskPressure",
    "nodefs.inodesFree": "DiskPressure",
    "imagefs.available": "DiskPressure",
    "pid.available": "PIDPressure",
}

RESOURCES = {
    "memory.available": "memory",
    "nodefs.available": "ephemeral-storage",
    "nodefs.inodesFree": "inodes",
    "imagefs.available": "ephemeral-storage",
    "pid.available": "pids",
}
"""What the node is low on, as people are told."""


@dataclass(frozen=True)
class Threshold:
    signal: str
    amount: int = 0
    """Bytes, inodes or processes."""
    percent: float = 0.0
    """Of the capacity, where no amount is given."""

    def least(self, capacity: int) -> int:
        return self.amount or int(capacity * self.percent / 100)


@dataclass(frozen=True)
class Level:
    """How much there is, and how much of it is left."""

    capacity: int
    available: int


@dataclass(frozen=True)
class Shortage:
    threshold: Threshold
    level: Level

    @property
    def message(self) -> str:
        least = self.threshold.least(self.level.capacity)
        return (
            f"The node was low on resource: {RESOURCES[self.threshold.signal]}. "
            f"Threshold quantity: {least}, available: {self.level.available}. "
        )


def parse(wanted: Sequence[str]) -> tuple[Threshold, ...]:
    """Of ``memory.available<100Mi`` and ``nodefs.available<10%``. Raises ValueError."""
    found: list[Threshold] = []
    for one in wanted:
        signal, separator, amount = one.partition("<")
        if signal not in CONDITIONS or not separator:
            raise ValueError(f"invalid eviction threshold {one!r}")
        if amount.endswith("%"):
            percent = float(amount[:-1])
            if not 0 <= percent <= 100:
                raise ValueError(f"{signal}: {amount} is no part of a whole")
            found.append(Threshold(signal, percent=percent))
        else:
            found.append(Threshold(signal, amount=quantity.value(amount)))
    return tuple(found)


def shortages(thresholds: Sequence[Threshold], levels: Mapping[str, Level]) -> list[Shortage]:
    """Memory comes first: it kills sooner than a full disk."""
    found = [
        Shortage(one, levels[one.signal])
        for one in thresholds
        if one.signal in levels and levels[one.signal].available < one.least(levels[one.signal].capacity)
    ]
    return sorted(found, key=lambda one: one.threshold.signal != "memory.available")
