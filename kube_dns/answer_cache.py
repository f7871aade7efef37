"""Answers of other servers, kept as long as they hold, in bounded memory.

Pure but for the clock that it is given. An answer ages: what comes out has its TTLs lowered by the time it lay here.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kube_dns import message
from kube_dns.message import HEADER
from kube_dns.query import NXDOMAIN, OPT, SERVFAIL
from kube_dns.records import SOA

MAX_TTL: Final = 3600
"""Seconds that an answer is kept at most, whatever its TTL."""

MAX_NEGATIVE_TTL: Final = 1800
FAILURE_TTL: Final = 5
"""Seconds that a failure is kept: long enough to spare dead servers, short enough not to be noticed after."""

_BIGGEST: Final = 8192
"""Bytes of an answer above which it is not kept."""

_LONG = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class _Entry:
    message: bytes
    ttls: tuple[tuple[int, int], ...]
    stored: float
    expires: float


class AnswerCache:
    """``size`` answers and ``memory`` bytes at most; the one that was longest unused goes first."""

    def __init__(self, size: int, memory: int, clock: Callable[[], float]) -> None:
        self._size, self._memory, self._clock = size, memory, clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._used = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def used(self) -> int:
        """Bytes of all messages."""
        return self._used

    def get(self, key: bytes) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        now = self._clock()
        if now >= entry.expires:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        age = int(now - entry.stored)
        if not age:
            return entry.message
        aged = bytearray(entry.message)
        for offset, ttl in entry.ttls:
            _LONG.pack_into(aged, offset, max(ttl - age, 0))
        return bytes(aged)

    def put(self, key: bytes, found: bytes) -> None:
        """Keep an answer if it may be kept. Raises MessageError when it is no message."""
        records = [record for record in message.records(found) if record.type != OPT]
        seconds = lifetime(found, records)
        self._drop(key)
        if seconds <= 0 or len(found) > _BIGGEST or self._size <= 0:
            return
        now = self._clock()
        ttls = tuple((record.ttl_at, record.ttl) for record in records)
        self._entries[key] = _Entry(found, ttls, now, now + seconds)
        self._used += len(found)
        while len(self._entries) > self._size or self._used > self._memory:
            _, entry = self._entries.popitem(last=False)
            self._used -= len(entry.message)

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._used -= len(entry.message)


def lifetime(found: bytes, records: list[message.RawRecord]) -> int:
    """Seconds that an answer may be kept; negative ones as long as their SOA says (RFC 2308), 0 without one."""
    _, flags, _, answers, *_ = HEADER.unpack_from(found)
    rcode = flags & 0xF
    if flags & message.TRUNCATED:
        return 0
    if rcode == SERVFAIL:
        return FAILURE_TTL
    if rcode not in (0, NXDOMAIN):
        return 0
    ttls = [_signed(record.ttl) for record in records if record.section == message.Section.ANSWER]
    if rcode == 0 and answers and any(record.type not in (5, 46) for record in records[:answers]):
        return min(*ttls, MAX_TTL)
    for record in records:
        if record.section == message.Section.AUTHORITY and record.type == SOA and record.end - record.data >= 4:
            minimum: int = _LONG.unpack_from(found, record.end - 4)[0]
            return min(minimum, _signed(record.ttl), *ttls, MAX_NEGATIVE_TTL)
    return 0


def _signed(ttl: int) -> int:
    """A TTL with the highest bit set counts as 0 (RFC 2181)."""
    return ttl if ttl < 0x80000000 else 0
