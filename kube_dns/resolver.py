"""Decides who answers a question, and caches encoded answers.

``prepared`` serves almost every question: the request's bytes without the identifier are looked up, and the encoded
answer is sent behind the request's identifier. Only the zone's own answers are cached like this, because
their TTLs do not run; all of them go when the zone changes. ``respond`` encodes an answer, ``resolve`` also
waits for other servers. Nothing here raises: a bug met by one question is a SERVFAIL for it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Final

from kube_dns import encoding, local, metrics
from kube_dns.encoding import Encoder
from kube_dns.forwarder import Forwarder
from kube_dns.local import Answer
from kube_dns.message import HEADER, MessageError
from kube_dns.query import RESPONSE, SERVFAIL, BadQuery, Query, parse
from kube_dns.zone import Zone

log = logging.getLogger(__name__)

_PREPARED: Final = 10_000
"""How many encoded answers are cached."""

_MEMORY: Final = 16 << 20
"""Bytes of these answers."""

_LONGEST: Final = 512
"""Bytes of the longest request whose answer is cached."""


class Prepared:
    """One answer, in several orders that take turns. ``type`` and ``rcode`` are for the metrics."""

    __slots__ = ("_bodies", "_turn", "rcode", "type")

    def __init__(self, bodies: Sequence[bytes], type: str, rcode: str) -> None:
        self._bodies, self._turn = bodies, 0
        self.type, self.rcode = type, rcode

    def body(self) -> bytes:
        """What follows the identifier."""
        self._turn = turn = (self._turn + 1) % len(self._bodies)
        return self._bodies[turn]


@dataclass(frozen=True)
class Waiting:
    """A question that another server has to answer, and the part of the answer that is known."""

    query: Query
    start: Answer | None = None


class Resolver:
    """``synced`` returns whether the zone is complete; before that, none of its names is denied."""

    def __init__(
        self,
        zone: Zone,
        encoder: Encoder,
        forwarder: Forwarder,
        synced: Callable[[], bool],
        reverse_ranges: Sequence[IPv4Network] = (),
    ) -> None:
        self._zone, self._encoder, self._forwarder = zone, encoder, forwarder
        self._synced, self._reverse_ranges = synced, reverse_ranges
        self._prepared: dict[bytes, Prepared] = {}
        self._used = 0
        self._revision = zone.revision

    def prepared(self) -> dict[bytes, Prepared]:
        """Answers by the request's bytes after the identifier, as sent by UDP; true until the zone changes."""
        if self._revision != self._zone.revision:
            self._forget()
            self._revision = self._zone.revision
        return self._prepared

    def respond(self, data: bytes, stream: bool) -> bytes | Waiting | None:
        """The answer to a request, or what has to be waited for, or None for a request that gets no answer."""
        proto = "tcp" if stream else "udp"
        try:
            if len(data) < HEADER.size or data[2] << 8 & RESPONSE:
                metrics.dropped.inc("malformed")
                return None
            query = parse(data, stream)
        except BadQuery as fault:
            metrics.requests.inc(proto, "other")
            return _counted(encoding.rejection(data, fault), fault.rcode)
        except Exception:
            log.exception("a request of %d bytes could not be read", len(data))
            return None
        metrics.requests.inc(proto, metrics.TYPES.get(query.type, "other"))
        try:
            return self._respond(query, data, stream)
        except Exception:
            log.exception("%s: no answer", query.name)
            return _counted(encoding.error(query, SERVFAIL), SERVFAIL)

    async def resolve(self, waiting: Waiting) -> bytes:
        """The answer, once another server has given its own."""
        query, start = waiting.query, waiting.start
        try:
            if start is None:
                forwarded = await self._forwarder.resolve(query)
                return _sent(forwarded.message, query, authoritative=False)
            return await self._resolve_chain(query, start)
        except MessageError as exc:
            log.info("%s: another server's answer is malformed: %s", query.name, exc)
        except Exception:
            log.exception("%s: no answer", query.name)
        return _counted(encoding.error(query, SERVFAIL), SERVFAIL)

    def _respond(self, query: Query, data: bytes, stream: bool) -> bytes | Waiting:
        upstreams = self._forwarder.upstreams
        theirs = upstreams.is_stub(query.name) and not self._zone.contains(query.name)
        answer = None if theirs else local.answer(self._zone, query.name, query.type, self._reverse_ranges)
        if answer is None:
            cached = self._forwarder.cached(query)
            if cached is None:
                return Waiting(query)
            metrics.cache_hits.inc("forward")
            return _sent(cached, query, authoritative=False)
        if answer.elsewhere is not None:
            return Waiting(query, answer)
        if not self._synced() and not answer.answers:
            return _counted(encoding.error(query, SERVFAIL), SERVFAIL)
        finished = encoding.complete(self._encoder.encode(query, answer), query, authoritative=True)
        if not stream and not query.options and len(data) <= _LONGEST:
            self._prepare(data, finished, query, answer)
        return _counted(finished, answer.rcode)

    def _prepare(self, data: bytes, finished: bytes, query: Query, answer: Answer) -> None:
        bodies = [answer[2:] for answer in encoding.rotations(finished)]
        size = len(data) + sum(map(len, bodies))
        prepared = self.prepared()
        if len(prepared) >= _PREPARED or self._used + size > _MEMORY:
            self._forget()
        self._used += size
        type = metrics.TYPES.get(query.type, "other")
        prepared[data[2:]] = Prepared(bodies, type, metrics.RCODES.get(answer.rcode, "other"))

    def _forget(self) -> None:
        self._prepared.clear()
        self._used = 0

    async def _resolve_chain(self, query: Query, start: Answer) -> bytes:
        """An ExternalName service: its alias, then the answer of the alias' own server."""
        assert start.elsewhere is not None
        try:
            question = encoding.wire_question(start.elsewhere, query.type)
        except ValueError:  # the API allows names that DNS does not
            return _counted(encoding.error(query, SERVFAIL), SERVFAIL)
        query_elsewhere = replace(query, question=question, name=start.elsewhere)
        forwarded = await self._forwarder.resolve(query_elsewhere)
        if forwarded.refused:  # the alias is all that is known
            finished = encoding.complete(self._encoder.encode(query, start), query, authoritative=True)
            return _counted(finished, 0)
        return _sent(self._encoder.chain(query, start, forwarded.message), query, authoritative=True)


def _sent(answer: bytes, query: Query, authoritative: bool) -> bytes:
    finished = encoding.complete(answer, query, authoritative)
    return _counted(finished, finished[3] & 0xF)


def _counted(finished: bytes, rcode: int) -> bytes:
    metrics.responses.inc(metrics.RCODES.get(rcode, "other"))
    return finished
