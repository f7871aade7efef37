"""Names outside the cluster: asks other servers, and caches their answers.

Owns the cache and the questions under way. Promises: the same question is under way only once, however many clients ask it; an
answer or a failure comes within ``DEADLINE``, which is below a client's own patience of 5 s, and much sooner while
all servers are known to be dead; the number of questions under way is bounded.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from kube_dns import exchange, message, metrics
from kube_dns.answer_cache import AnswerCache
from kube_dns.message import HEADER, MessageError
from kube_dns.query import CHECKING_DISABLED, NXDOMAIN, OPT, REFUSED, SERVFAIL, Query
from kube_dns.upstreams import Server, Upstreams

log = logging.getLogger(__name__)

DEADLINE: Final = 4.0
ATTEMPT: Final = 1.3
"""Seconds for one try of one server; three fit into the deadline."""

PROBE: Final = 1.0
"""Seconds for the only try while every server counts as dead."""

MISSES: Final = 3
"""Tries in a row without an answer, whatever the question, after which a server counts as dead."""

REMEMBERED: Final = 10.0
"""Seconds for which other servers are preferred to one that did not answer."""

MAX_CONCURRENT: Final = 1000
_MEMORY: Final = 32 << 20


@dataclass(frozen=True)
class Forwarded:
    """A message that answers the question; ``refused`` if there was no server to ask."""

    message: bytes
    refused: bool = False


class Forwarder:
    """``tasks`` runs the questions under way."""

    def __init__(
        self,
        upstreams: Upstreams,
        tasks: asyncio.TaskGroup,
        cache_size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.upstreams = upstreams
        self.cache = AnswerCache(cache_size, _MEMORY, clock)
        self._tasks, self._clock = tasks, clock
        self._pending: dict[bytes, asyncio.Future[Forwarded]] = {}
        self._missed: dict[Server, tuple[int, float]] = {}  # misses in a row, and until when they count

    def cached(self, query: Query) -> bytes | None:
        return self.cache.get(_key(query))

    async def resolve(self, query: Query) -> Forwarded:
        """The answer to a question, from the cache or from a server. Never raises but for cancellation."""
        key = _key(query)
        if (cached := self.cache.get(key)) is not None:
            metrics.cache_hits.inc("forward")
            return Forwarded(cached)
        pending = self._pending.get(key)
        if pending is None:
            if len(self._pending) >= MAX_CONCURRENT:
                metrics.forward_rejects.inc()
                return Forwarded(_code(query, SERVFAIL))
            metrics.cache_misses.inc()
            pending = self._pending[key] = self._tasks.create_task(self._resolve(key, query), name="forward")
        return await asyncio.shield(pending)

    async def _resolve(self, key: bytes, query: Query) -> Forwarded:
        try:
            servers = self.upstreams.of(query.name)
            if not servers:
                return Forwarded(_code(query, REFUSED), refused=True)
            answer = await self._ask_all(query, servers)
            self.cache.put(key, answer)
            return Forwarded(answer)
        except Exception:  # a bug met by one question must not end the daemon
            log.exception("%s: forwarding failed", query.name)
            return Forwarded(_code(query, SERVFAIL))
        finally:
            del self._pending[key]

    async def _ask_all(self, query: Query, servers: Sequence[Server]) -> bytes:
        """Ask one server after the other until one answers; a SERVFAIL if none does."""
        deadline = self._clock() + DEADLINE
        last = _code(query, SERVFAIL)
        dead = all(self._misses(server) >= MISSES for server in servers)
        order = sorted(servers, key=lambda server: self._misses(server) > 0)
        # A datagram may get lost, so a living server has more than one chance.
        rounds = 1 if dead else max(1, -(-3 // len(order)))
        for server in order * rounds:
            left = deadline - self._clock()
            if left <= 0:
                break
            answer = await self._ask(server, query, min(PROBE if dead else ATTEMPT, left))
            if answer is None:
                continue
            if _rcode(answer) in (0, NXDOMAIN):
                return answer
            last = answer  # SERVFAIL, REFUSED, NOTIMP: the next server may do better
        return last

    async def _ask(self, server: Server, query: Query, timeout: float) -> bytes | None:
        """One server's answer, checked and without what concerns only that hop; None if it gave none."""
        metrics.forward_requests.inc(str(server))
        try:
            answer = message.without_opt(await exchange.ask(server, query, timeout), OPT)
            for _ in message.records(answer):
                pass  # a malformed record raises
        except (OSError, MessageError) as exc:  # TimeoutError is an OSError
            log.info("%s: %s: %s", query.name, server, exc or "no answer in time")
            metrics.forward_failures.inc(str(server))
            if not isinstance(exc, MessageError):
                self._missed[server] = (self._misses(server) + 1, self._clock() + REMEMBERED)
            return None
        self._missed.pop(server, None)
        return answer

    def _misses(self, server: Server) -> int:
        count, until = self._missed.get(server, (0, 0.0))
        return count if self._clock() < until else 0


def _key(query: Query) -> bytes:
    """What an answer depends on: the question, and whether signatures are asked for and checked."""
    return query.key + bytes((query.dnssec_ok, bool(query.flags & CHECKING_DISABLED)))


def _code(query: Query, rcode: int) -> bytes:
    return HEADER.pack(0, rcode, 1, 0, 0, 0) + query.question


def _rcode(answer: bytes) -> int:
    return int(HEADER.unpack_from(answer)[1]) & 0xF
