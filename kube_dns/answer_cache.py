"""A cache of other servers' answers, in bounded memory.

Pure but for the clock. An answer ages: its TTLs are lowered by the time that it spent here.
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
"""Seconds for which an answer is cached at most, whatever its TTL."""

MAX_NEGATIVE_TTL: Final = 1800
FAILURE_TTL: Final = 5
"""Seconds for which a failure is cached: long enough to spare dead servers, short enough not to outlast the trouble."""

_BIGGEST: Final = 8192
"""Bytes of the largest answer that is cached."""

_LONG = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class _Entry:
    message: bytes
    ttls: tuple[tuple[int, int], ...]
    stored: float
    expires: float


class AnswerCache:
    """``size`` answers and ``memory`` bytes at most; the least recently used is dropped first."""

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

    def put(self, key: bytes, answer: bytes) -> None:
        """Cache an answer if that is allowed. Raises MessageError when it is not a message."""
        records = [record for record in message.records(answer) if record.type != OPT]
        seconds = lifetime(answer, records)
        self._drop(key)
        if seconds <= 0 or len(answer) > _BIGGEST or self._size <= 0:
            return
        now = self._clock()
        ttls = tuple((record.ttl_at, record.ttl) for record in records)
        self._entries[key] = _Entry(answer, ttls, now, now + seconds)
        self._used += len(answer)
        while len(self._entries) > self._size or self._used > self._memory:
            _, entry = self._entries.popitem(last=False)
            self._used -= len(entry.message)

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._used -= len(entry.message)


def lifetime(answer: bytes, records: list[message.RawRecord]) -> int:
    """Seconds for which an answer may be cached; negative ones according to their SOA (RFC 2308), 0 without one."""
    _, flags, _, answers, *_ = HEADER.unpack_from(answer)
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
            minimum: int = _LONG.unpack_from(answer, record.end - 4)[0]
            return min(minimum, _signed(record.ttl), *ttls, MAX_NEGATIVE_TTL)
    return 0


def _signed(ttl: int) -> int:
    """A TTL with the highest bit set counts as 0 (RFC 2181)."""
    return ttl if ttl < 0x80000000 else 0
