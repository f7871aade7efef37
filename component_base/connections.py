"""How many connections a server holds, and how much of them is for clients that have not shown who they are.

A client without an identity, a stranger, holds one of few slots, of which those of one address have only a part. When
they are used up, the slot that a stranger has had longest is given to the next one, so nobody can keep others out: a
client with an identity needs a slot only for the milliseconds until it has shown it. After that its connection counts
only towards what the process can open at all.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from component_base.open_files import current_limit

log = logging.getLogger(__name__)

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What one server holds at most."""

    connections: int
    strangers: int
    """Connections whose client has no identity, or none yet; TLS handshakes in progress are among them."""
    strangers_per_source: int
    """Those of one IPv4 address, or of one IPv6 network of 64 bits, which is what one host gets."""
    head_memory: int = 64 * _MIB
    """Bytes of memory that unfinished requests of all strangers take; one alone may have ``MAX_HEAD``."""

    @classmethod
    def of_process(cls) -> Self:
        """A tenth of the files that this process can open is for others than a server's clients."""
        files = current_limit()
        strangers = min(4096, files // 4)
        return cls(files - files // 10, strangers, max(1, strangers // 4))


class Slot:
    """One connection's. ``cut`` ends the connection at once, and may be replaced."""

    __slots__ = ("_slots", "cut", "is_stranger", "memory", "source")

    def __init__(self, slots: "Slots", source: str, cut: Callable[[], object]) -> None:
        self._slots: Slots | None = slots
        self.source, self.cut = source, cut
        self.is_stranger = True
        self.memory = 0

    @property
    def is_taken(self) -> bool:
        """Whether it has not been left, nor given to another connection."""
        return self._slots is not None

    def identify(self) -> None:
        """The client has shown who it is."""
        if self._slots is not None and self.is_stranger:
            self._slots.identify(self)

    def hold(self, memory: int) -> None:
        """Say how many bytes the unfinished requests take. Whichever stranger takes most is cut if it is too much."""
        if self._slots is not None and self.is_stranger:
            self._slots.hold(self, memory)

    def leave(self) -> None:
        """The connection has ended. May be repeated."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.leave(self)


class Slots:
    """All slots of one server."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open = 0
        self._strangers: dict[Slot, None] = {}  # in the order in which they came
        self._by_source: dict[str, dict[Slot, None]] = {}
        self._memory = 0
        self._cut = 0
        self._refused = 0
        self._last = ""

    def take(self, source: str, cut: Callable[[], object]) -> Slot | None:
        """A slot for a new connection; None if there are too many and none is a stranger's.

        Args:
            source: the address that it comes from.
            cut: ends the connection at once.
        """
        source = _host(source)
        siblings = self._by_source.get(source, {})
        if len(siblings) >= self.limits.strangers_per_source:
            self._end(next(iter(siblings)))
        elif len(self._strangers) >= self.limits.strangers or self._open >= self.limits.connections:
            if not self._strangers:
                self._refused += 1
                return None
            self._end(next(iter(self._strangers)))
        slot = Slot(self, source, cut)
        self._open += 1
        self._strangers[slot] = None
        self._by_source.setdefault(source, {})[slot] = None
        return slot

    def identify(self, slot: Slot) -> None:
        """Count a connection among those with an identity from now on."""
        slot.is_stranger = False
        self._memory -= slot.memory
        slot.memory = 0
        del self._strangers[slot]
        siblings = self._by_source[slot.source]
        del siblings[slot]
        if not siblings:
            del self._by_source[slot.source]

    def hold(self, slot: Slot, memory: int) -> None:
        self._memory += memory - slot.memory
        slot.memory = memory
        while self._memory > self.limits.head_memory:
            self._end(max(self._strangers, key=lambda stranger: stranger.memory))

    def leave(self, slot: Slot) -> None:
        self._open -= 1
        if slot.is_stranger:
            self.identify(slot)

    def report(self) -> None:
        """Log what has been cut and refused since the last time, if anything."""
        if self._cut:
            log.warning("cut %d connections of clients without identity, the last of %s", self._cut, self._last)
        if self._refused:
            log.warning("refused %d connections: %d are open", self._refused, self._open)
        self._cut = self._refused = 0

    def _end(self, slot: Slot) -> None:
        self._cut += 1
        self._last = slot.source
        slot.leave()
        slot.cut()


def _host(address: str) -> str:
    """What one host cannot change at will: an IPv4 address, or the first half of an IPv6 address."""
    if ":" not in address:
        return address
    mapped = address.removeprefix("::ffff:")
    if "." in mapped:
        return mapped
    head, gap, tail = address.partition("%")[0].partition("::")
    groups = head.split(":") if head else []
    if gap:
        rest = tail.split(":") if tail else []
        groups += ["0"] * (8 - len(groups) - len(rest)) + rest
    return ":".join(groups[:4])
