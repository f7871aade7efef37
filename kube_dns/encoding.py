"""Answers as bytes. The one module that imports dnslib.

``complete`` is the last step of every answer, whoever made it: it puts in the client's identifier, flags and
spelling of the question, the OPT record, and cuts the message to what the client takes.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import dnslib

from kube_dns import message
from kube_dns.local import Answer
from kube_dns.message import HEADER, MessageError
from kube_dns.query import (
    CHECKING_DISABLED,
    IN,
    OPT,
    RECURSION_DESIRED,
    RESPONSE,
    UDP_SIZE,
    BadQuery,
    Query,
)
from kube_dns.records import AAAA, CNAME, NS, PTR, SOA, SRV, TXT, WEIGHT, A, Record

AUTHORITATIVE: Final = 0x0400
RECURSION_AVAILABLE: Final = 0x0080
RCODE: Final = 0x000F
_KEPT: Final = message.TRUNCATED | RCODE
"""Of another server's flags: what is true of our answer as well."""

_OPT = struct.Struct("!BHHIH")
_ROTATED = 8
"""In how many orders several addresses are cached: clients that take the first one spread over as many."""

_ADDRESS_SIZE = 16
"""Bytes of an A record whose name is a pointer to the question."""

_VALUES: Final[dict[int, Callable[[Record], Any]]] = {
    A: lambda record: dnslib.A(record.value),
    AAAA: lambda record: dnslib.AAAA(record.value),
    CNAME: lambda record: dnslib.CNAME(_label(record.value)),
    PTR: lambda record: dnslib.PTR(_label(record.value)),
    NS: lambda record: dnslib.NS(_label(record.value)),
    SRV: lambda record: dnslib.SRV(0, WEIGHT, record.port, _label(record.value)),
    TXT: lambda record: dnslib.TXT(record.value.encode()),
}


class Encoder:
    """Encodes the answers of one zone. ``ttl`` in seconds, ``serial`` is the SOA's at start."""

    def __init__(self, domain: str, ttl: int, serial: int) -> None:
        self._domain, self._ttl, self._serial = domain, ttl, serial

    def encode(self, query: Query, answer: Answer) -> bytes:
        """A message without OPT, of any length; ``complete`` follows."""
        question_name = _asked_name(query)
        record = dnslib.DNSRecord(dnslib.DNSHeader(id=0, bitmap=AUTHORITATIVE | answer.rcode))
        record.add_question(dnslib.DNSQuestion(question_name, query.type, IN))
        for owner, data in answer.answers:
            record.add_answer(self._rr(question_name if owner is None else _label(owner), data))
        for owner, data in answer.additional:
            record.add_ar(self._rr(_label(owner), data))
        if answer.soa is not None:
            record.add_auth(self.soa(answer.soa))
        return bytes(record.pack())

    def soa(self, owner: str) -> Any:
        times = (self._serial & 0xFFFFFFFF, 7200, 1800, 86400, self._ttl)
        value = dnslib.SOA(_label(f"ns.dns.{self._domain}"), _label(f"hostmaster.{self._domain}"), times)
        return dnslib.RR(_label(owner), SOA, IN, self._ttl, value)

    def chain(self, query: Query, answer: Answer, continuation: bytes) -> bytes:
        """An answer that ends in a name elsewhere, followed by the records and the code of that name's own answer.

        Raises:
            MessageError: ``continuation`` cannot be read.
        """
        question_name = _asked_name(query)
        try:
            other = dnslib.DNSRecord.parse(continuation)
        except Exception as exc:  # dnslib raises errors of any kind
            raise MessageError(str(exc)) from exc
        record = dnslib.DNSRecord(dnslib.DNSHeader(id=0, bitmap=other.header.bitmap & RCODE))
        record.add_question(dnslib.DNSQuestion(question_name, query.type, IN))
        for owner, data in answer.answers:
            record.add_answer(self._rr(question_name if owner is None else _label(owner), data))
        record.add_answer(*other.rr)
        record.add_auth(*(record for record in other.auth if record.rtype == SOA))
        return bytes(record.pack())

    def _rr(self, owner: Any, record: Record) -> Any:
        if record.type == SOA:
            return self.soa(record.value)
        return dnslib.RR(owner, record.type, IN, self._ttl, _VALUES[record.type](record))


def complete(answer: bytes, query: Query, authoritative: bool) -> bytes:
    """A finished answer to ``query`` from an answer to the same question. Raises MessageError."""
    flags = RESPONSE | RECURSION_AVAILABLE | query.flags & (RECURSION_DESIRED | CHECKING_DISABLED)
    flags |= HEADER.unpack_from(answer)[1] & _KEPT | (AUTHORITATIVE if authoritative else 0)
    _, _, *counts = HEADER.unpack_from(answer)
    body = HEADER.pack(query.id, flags, *counts) + query.question + answer[HEADER.size + len(query.question) :]
    if not query.edns:
        return message.fit(body, query.limit)
    opt = _opt(0, query.dnssec_ok)
    return message.with_opt(message.fit(body, query.limit - len(opt)), opt)


def error(query: Query, rcode: int) -> bytes:
    """An answer that consists of a code alone."""
    return complete(HEADER.pack(0, rcode, 1, 0, 0, 0) + query.question, query, authoritative=False)


def rejection(data: bytes, fault: BadQuery) -> bytes:
    """The answer to a request that gets none: a code, and the question if there is one."""
    id, flags, *_ = HEADER.unpack_from(data)
    echoed = flags & (0x7800 | RECURSION_DESIRED)
    header = HEADER.pack(id, RESPONSE | echoed | fault.rcode & RCODE, 1 if fault.question else 0, 0, 0, 0)
    answer = header + fault.question
    return message.with_opt(answer, _opt(fault.rcode >> 4, False)) if fault.edns else answer


def question(id: int, name: bytes, dnssec_ok: bool, checking_disabled: bool) -> bytes:
    """A request of our own; ``name`` is the question as on the wire: name, type and class."""
    flags = RECURSION_DESIRED | (CHECKING_DISABLED if checking_disabled else 0)
    return message.with_opt(HEADER.pack(id, flags, 1, 0, 0, 0) + name, _opt(0, dnssec_ok))


def wire_question(name: str, type: int) -> bytes:
    """A name and a type as on the wire. Raises ValueError if the name cannot be one."""
    labels = [label.encode("latin-1") for label in name.split(".")] if name else []
    if not all(0 < len(label) < 64 for label in labels):
        raise ValueError(f"{name!r}: not a DNS name")
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(wire) > 255:
        raise ValueError(f"{name!r}: longer than a DNS name")
    return wire + struct.pack("!HH", type, IN)


def rotations(finished: bytes) -> Sequence[bytes]:
    """The same answer with its addresses in several orders, if it contains nothing but addresses for the question."""
    answers = [record for record in message.records(finished) if record.section == message.Section.ANSWER]
    count = len(answers)
    if count < 2 or any(record.type != A or record.end - record.start != _ADDRESS_SIZE for record in answers):
        return (finished,)
    start, end = answers[0].start, answers[-1].end
    head, block, tail = finished[:start], finished[start:end], finished[end:]
    step = max(count // _ROTATED, 1) * _ADDRESS_SIZE
    turns = range(0, len(block), step)
    return [head + block[turn:] + block[:turn] + tail for turn in turns][:_ROTATED]


def _opt(rcode: int, dnssec_ok: bool) -> bytes:
    """``rcode`` is the upper part of an extended response code."""
    return _OPT.pack(0, OPT, UDP_SIZE, rcode << 24 | (0x8000 if dnssec_ok else 0), 0)


def _asked_name(query: Query) -> Any:
    """The question's name in its own spelling, so that compression finds it and the client recognizes it."""
    labels: list[bytes] = []
    wire, offset = query.question, 0
    while length := wire[offset]:
        labels.append(wire[offset + 1 : offset + 1 + length])
        offset += 1 + length
    return dnslib.DNSLabel(labels)


def _label(name: str) -> Any:
    return dnslib.DNSLabel(name.encode("latin-1"))  # as bytes: text would go through IDNA
