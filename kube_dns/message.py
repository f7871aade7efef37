"""Finished DNS messages as bytes: walking through their records, cutting them to size, giving them a header.

Knows lengths and counts, not what records mean; so it holds for our own answers and for those of others.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

HEADER: Final = struct.Struct("!6H")
TRUNCATED: Final = 0x0200

_FIXED = struct.Struct("!HHIH")
_COUNT = struct.Struct("!H")
_POINTER = 0xC0


class MessageError(Exception):
    """Bytes that are no DNS message."""


class Section:
    ANSWER: Final = 0
    AUTHORITY: Final = 1
    ADDITIONAL: Final = 2


class RawRecord(NamedTuple):
    """Offsets into the message: ``start`` of the name, ``ttl_at``, ``data`` of the value, ``end``."""

    section: int
    type: int
    ttl: int
    start: int
    ttl_at: int
    data: int
    end: int


def skip_name(message: bytes, offset: int) -> int:
    """Where the name at ``offset`` ends. Raises MessageError or IndexError."""
    while True:
        length = message[offset]
        if length >= _POINTER:
            return offset + 2
        if length > 63:
            raise MessageError("unknown kind of label")
        offset += 1 + length
        if not length:
            return offset


def records(message: bytes) -> Iterator[RawRecord]:
    """Every record after the question. Raises MessageError."""
    try:
        _, _, questions, *counts = HEADER.unpack_from(message)
        offset = HEADER.size
        for _ in range(questions):
            offset = skip_name(message, offset) + 4
        for section, count in enumerate(counts):
            for _ in range(count):
                start = offset
                at = skip_name(message, start)
                type, _, ttl, length = _FIXED.unpack_from(message, at)
                data = at + _FIXED.size
                offset = data + length
                if offset > len(message):
                    raise MessageError("a record is cut off")
                yield RawRecord(section, type, ttl, start, at + 4, data, offset)
    except (struct.error, IndexError) as exc:
        raise MessageError("cut off") from exc


def fit(message: bytes, limit: int) -> bytes:
    """The message in at most ``limit`` bytes, as many whole records of it as fit.

    Records that are only additional may be missing silently; otherwise the answer tells the client to ask over TCP.
    """
    if len(message) <= limit:
        return message
    counts, end, truncated = [0, 0, 0], 0, False
    for record in records(message):
        end = end or record.start
        if record.end > limit:
            truncated = record.section != Section.ADDITIONAL
            break
        counts[record.section] += 1
        end = record.end
    id, flags, questions, *_ = HEADER.unpack_from(message)
    if truncated:
        flags |= TRUNCATED
    return HEADER.pack(id, flags, questions, *counts) + message[HEADER.size : end]


def with_opt(message: bytes, opt: bytes) -> bytes:
    """The message with one more additional record at its end."""
    (count,) = _COUNT.unpack_from(message, 10)
    return message[:10] + _COUNT.pack(count + 1) + message[12:] + opt


def without_opt(message: bytes, opt_type: int) -> bytes:
    """The message without its OPT record, which concerns one hop only.

    What follows an OPT is additional as well, and goes with it: names may point into bytes behind it.
    """
    before = 0
    for record in records(message):
        if record.section != Section.ADDITIONAL:
            continue
        if record.type == opt_type:
            return message[:10] + _COUNT.pack(before) + message[12 : record.start]
        before += 1
    return message
