"""One question as it came in: reads the request's bytes, and nothing more than is needed to answer.

Strict where laxness would hurt (one question, uncompressed, nothing cut off), and ignores what does not matter.
"""

import struct
from dataclasses import dataclass
from typing import Final

from kube_dns.message import HEADER, MessageError, skip_name

FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
BADVERS: Final = 16

RESPONSE: Final = 0x8000
OPCODE: Final = 0x7800
RECURSION_DESIRED: Final = 0x0100
CHECKING_DISABLED: Final = 0x0010

IN: Final = 1
OPT: Final = 41
ANY: Final = 255
TRANSFERS: Final = (251, 252)

UDP_SIZE: Final = 1232
"""Bytes of the largest datagram sent or asked for: what passes every network unfragmented."""

_TYPE_CLASS = struct.Struct("!HH")
_RR = struct.Struct("!HHIH")


class BadQuery(Exception):
    """A request that gets a response code instead of an answer. ``question`` is its own, where that could be read."""

    def __init__(self, rcode: int, question: bytes = b"", edns: bool = False) -> None:
        super().__init__(rcode)
        self.rcode, self.question, self.edns = rcode, question, edns


@dataclass(frozen=True, slots=True)
class Query:
    """``question`` is the name, type and class as asked; ``name`` is lower case, dotted, without the last dot."""

    id: int
    flags: int
    question: bytes
    name: str
    type: int
    edns: bool
    dnssec_ok: bool
    options: bool
    """Whether it has EDNS options. They are ignored; but a cookie makes each request unlike all others."""
    limit: int
    """Bytes of the largest answer that the client takes."""

    @property
    def key(self) -> bytes:
        """The question without regard to case. A length byte is below 64, so no letter."""
        return self.question[:-4].lower() + self.question[-4:]


def parse(data: bytes, stream: bool) -> Query:
    """The request's question; ``stream`` is TCP.

    Raises:
        BadQuery: there is an answer to give, an error.
        MessageError: not even a header.
    """
    if len(data) < HEADER.size:
        raise MessageError("shorter than a header")
    id, flags, questions, answers, authorities, additionals = HEADER.unpack_from(data)
    if flags & OPCODE:
        raise BadQuery(NOTIMP)
    if questions != 1 or answers or authorities:
        raise BadQuery(FORMERR)
    try:
        name, end = _question_name(data)
        type, klass = _TYPE_CLASS.unpack_from(data, end)
        edns = _edns(data, end + 4, additionals)
    except (MessageError, struct.error, IndexError) as exc:
        raise BadQuery(FORMERR) from exc
    question = data[HEADER.size : end + 4]
    if edns is not None and edns.version != 0:
        raise BadQuery(BADVERS, question, edns=True)
    if klass != IN or type in TRANSFERS:
        raise BadQuery(REFUSED, question, edns=edns is not None)
    limit = 65535 if stream else 512 if edns is None else min(max(edns.size, 512), UDP_SIZE)
    return Query(
        id=id,
        flags=flags,
        question=question,
        name=name,
        type=type,
        edns=edns is not None,
        dnssec_ok=edns is not None and edns.dnssec_ok,
        options=edns is not None and edns.options,
        limit=limit,
    )


def _question_name(data: bytes) -> tuple[str, int]:
    """The question's name as text, and where it ends."""
    offset, labels = HEADER.size, []
    while length := data[offset]:
        if length > 63:
            raise MessageError("compressed question")
        label = data[offset + 1 : offset + 1 + length]
        if b"." in label:
            label = label.replace(b".", b"\\046")  # never the name of two labels that it looks like
        labels.append(label)
        offset += 1 + length
    if offset + 1 - HEADER.size > 255:
        raise MessageError("name too long")
    return b".".join(labels).decode("latin-1").lower(), offset + 1


@dataclass(frozen=True, slots=True)
class _Edns:
    size: int
    version: int
    dnssec_ok: bool
    options: bool


def _edns(data: bytes, offset: int, additionals: int) -> _Edns | None:
    edns = None
    for _ in range(additionals):
        name = offset
        offset = skip_name(data, offset)
        type, klass, ttl, length = _RR.unpack_from(data, offset)
        offset += _RR.size + length
        if offset > len(data):
            raise MessageError("cut off")
        if type == OPT:
            if edns is not None or data[name] != 0:
                raise MessageError("more than one OPT, or one with a name")
            edns = _Edns(klass, ttl >> 16 & 0xFF, bool(ttl & 0x8000), length > 0)
    return edns
