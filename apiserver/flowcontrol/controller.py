"""Seats for requests, as the stored FlowSchemas and PriorityLevelConfigurations say at the time."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Protocol

from msgspec import Struct

from apimachinery import errors, meta
from apimachinery.types.flowcontrol_v1 import (
    ExemptPriorityLevelConfiguration,
    FlowSchema,
    LimitedPriorityLevelConfiguration,
    PriorityLevelConfiguration,
)
from apiserver.flowcontrol import metrics
from apiserver.flowcontrol.matching import matches
from apiserver.flowcontrol.seats import Capacity, Level, Pool, Rejected
from apiserver.request import Attributes

WAIT: Final = 15.0
"""Seconds that a request waits for a seat at most: a quarter of a request's time, as in Kubernetes."""

WATCHES: Final = 1000
"""Watches of one user. One takes some 43 kB, most of it for TLS."""

WATCHES_OF_EXEMPT: Final = 10_000

UNSENT: Final = 64 << 20
"""Bytes of large answers that one user has asked for and not read; a single one may be larger."""

UNSENT_OF_EXEMPT: Final = 512 << 20

_BUSY: Final = "Too many requests, please try again later."
_CATCH_ALL: Final = Capacity(guaranteed=10, most=10, queue=50, queues=500, per_flow=5)
"""Until what is stored is known; in a new cluster that is a second later than its first clients come."""
_KNOWN: Final = 10_000  # sorts of requests whose flow is remembered


class Configuration(Protocol):
    """What is stored."""

    def version(self) -> object:
        """Something else after each change."""
        ...

    def schemas(self) -> Sequence[FlowSchema]: ...

    def levels(self) -> Sequence[PriorityLevelConfiguration]: ...


class Flow(Struct, frozen=True):
    """What a request belongs to."""

    schema: str
    level: Level
    name: str
    """Which of the schema's flows: a user's or a namespace's, or its only one."""
    is_exempt: bool
    headers: tuple[tuple[bytes, bytes], ...]
    """What the answer says of it."""


class Seats:
    """The seats that one request has."""

    __slots__ = ("count", "flow")

    def __init__(self, flow: Flow, count: int) -> None:
        self.flow, self.count = flow, count

    def leave(self) -> None:
        """Give them back; once only."""
        if self.count:
            self.flow.level.leave(self.flow.name, self.count)
            self.count = 0
            metrics.executing.add(-1, self.flow.level.name, self.flow.schema)


class FlowController:
    """The seats of one apiserver.

    Args:
        seats: of all levels together, which share them in proportion to their ``nominalConcurrencyShares``.
    """

    def __init__(self, configuration: Configuration, seats: int) -> None:
        self._configuration, self._seats = configuration, seats
        self._version: object = None
        self._pool, self._lent = Pool(), 0
        self._levels: dict[str, Level] = {}
        self._level_uids: dict[str, str] = {}
        self._exempt: frozenset[str] = frozenset()
        self._schemas: list[FlowSchema] = []
        self._flows: dict[tuple[object, ...], Flow] = {}
        self._watches: dict[str, int] = {}
        self._unsent: dict[str, int] = {}

    def flow(self, attributes: Attributes) -> Flow:
        """The flow of a request; remembered, since few sorts of requests make up nearly all."""
        version = self._configuration.version()
        if version != self._version:
            self._read()
            self._version = version
        user = attributes.user
        sort = (
            user.name,
            user.groups,
            attributes.verb,
            attributes.group,
            attributes.resource,
            attributes.subresource,
            attributes.namespace,
            "" if attributes.resource else attributes.path,
        )
        flow = self._flows.get(sort)
        if flow is None:
            if len(self._flows) >= _KNOWN:
                self._flows.clear()
            flow = self._flows[sort] = self._classified(attributes)
        return flow

    async def admit(self, flow: Flow, count: int) -> Seats:
        """The seats of a request, once it may be served; to be left when it has been.

        Raises:
            TooManyRequests: too many wait already, or no seat became free in time.
        """
        try:
            future = flow.level.enter(flow.name, count)
        except Rejected as fault:
            raise _rejected(flow, fault.reason) from None
        if future is not None:
            await _wait(flow, future, count)
        metrics.dispatched.inc(flow.level.name, flow.schema)
        metrics.executing.add(1, flow.level.name, flow.schema)
        return Seats(flow, count)

    @asynccontextmanager
    async def seated(self, attributes: Attributes, count: int) -> AsyncIterator[Flow]:
        """Seats for the block, of a request that is no operation on a resource. Raises TooManyRequests."""
        flow = self.flow(attributes)
        seats = await self.admit(flow, count)
        try:
            yield flow
        finally:
            seats.leave()

    @contextmanager
    def watching(self, flow: Flow, user: str) -> Iterator[None]:
        """Counts a watch of a user. Raises TooManyRequests if there are too many."""
        watches, limit = self._watches, WATCHES_OF_EXEMPT if flow.is_exempt else WATCHES
        if watches.get(user, 0) >= limit:
            metrics.watches.inc()
            message = f'user "{user}" has {limit} watches open, and no user may have more; please close some'
            raise errors.TooManyRequests(message, retry_after=5)
        watches[user] = watches.get(user, 0) + 1
        try:
            yield
        finally:
            watches[user] -= 1
            if not watches[user]:
                del watches[user]

    @contextmanager
    def sending(self, flow: Flow, user: str, size: int) -> Iterator[None]:
        """Counts an answer that a user has asked for and may not read. Raises TooManyRequests if there is too much."""
        unsent, limit = self._unsent, UNSENT_OF_EXEMPT if flow.is_exempt else UNSENT
        waiting = unsent.get(user, 0)
        if waiting and waiting + size > limit:
            message = f'user "{user}" has {waiting} bytes of answers to read, and may not have more than {limit}'
            raise errors.TooManyRequests(message, retry_after=1)
        unsent[user] = waiting + size
        try:
            yield
        finally:
            unsent[user] -= size
            if not unsent[user]:
                del unsent[user]

    def levels(self) -> list[Level]:
        """All levels that are in use, by name."""
        return sorted(self._levels.values(), key=lambda level: level.name)

    def schemas_of(self, level: str) -> list[str]:
        """The names of the schemas whose requests a level serves."""
        return [meta.name_of(s) for s in self._schemas if s.spec.priority_level_configuration.name == level]

    def _classified(self, attributes: Attributes) -> Flow:
        schema = next((schema for schema in self._schemas if matches(schema, attributes)), None)
        if schema is None:  # what is stored is not loaded yet, or somebody has deleted it
            return self._without_schema(attributes)
        by = schema.spec.distinguisher_method.type if schema.spec.distinguisher_method is not None else ""
        distinguisher = {"ByUser": attributes.user.name, "ByNamespace": attributes.namespace}.get(by, "")
        level, name = schema.spec.priority_level_configuration.name, meta.name_of(schema)
        return Flow(
            name,
            self._levels[level],
            f"{name}/{distinguisher}",
            level in self._exempt,
            (
                (b"x-kubernetes-pf-flowschema-uid", meta.uid_of(schema).encode()),
                (b"x-kubernetes-pf-prioritylevel-uid", self._level_uids[level].encode()),
            ),
        )

    def _without_schema(self, attributes: Attributes) -> Flow:
        is_exempt = "system:masters" in attributes.user.groups
        name = "exempt" if is_exempt else "catch-all"
        level = self._levels.get(name) or self._levels.setdefault(
            name, Level(name, self._pool, None if is_exempt else _CATCH_ALL)
        )
        return Flow(name, level, attributes.user.name, is_exempt, ())

    def _read(self) -> None:
        """Take over what is stored. Levels keep those who sit and wait in them."""
        self._flows.clear()
        stored = {meta.name_of(level): level for level in self._configuration.levels()}
        nominal = _nominal(stored, self._seats)
        lendable = {name: nominal[name] * _lendable_percent(level) // 100 for name, level in stored.items()}
        lent = sum(lendable.values())
        self._pool.free += lent - self._lent
        self._lent = lent
        for name in self._levels.keys() - stored.keys():  # who sits there will leave; nobody else enters
            del self._levels[name]
        for name, level in stored.items():
            capacity = _capacity(level, nominal[name], nominal[name] - lendable[name], lent)
            metrics.nominal_seats.set(nominal[name], name)
            if name in self._levels:
                self._levels[name].resize(capacity)
            else:
                self._levels[name] = Level(name, self._pool, capacity)
        self._level_uids = {name: meta.uid_of(level) for name, level in stored.items()}
        self._exempt = frozenset(name for name, level in stored.items() if level.spec.type == "Exempt")
        known = [s for s in self._configuration.schemas() if s.spec.priority_level_configuration.name in stored]
        self._schemas = sorted(known, key=lambda schema: (schema.spec.matching_precedence or 0, meta.name_of(schema)))
        self._pool.seat()


async def _wait(flow: Flow, future: "asyncio.Future[None]", seats: int) -> None:
    loop, labels = asyncio.get_running_loop(), (flow.level.name, flow.schema)
    started, timer = loop.time(), loop.call_later(WAIT, future.cancel)
    metrics.waiting.add(1, *labels)
    try:
        await future
    except asyncio.CancelledError:
        task = asyncio.current_task()
        flow.level.give_up(flow.name, future, seats)
        metrics.waited.observe(loop.time() - started, *labels, "false")
        if task is not None and task.cancelling():
            raise
        raise _rejected(flow, "time-out") from None
    finally:
        timer.cancel()
        metrics.waiting.add(-1, *labels)
    metrics.waited.observe(loop.time() - started, *labels, "true")


def _rejected(flow: Flow, reason: str) -> errors.TooManyRequests:
    metrics.rejected.inc(flow.level.name, flow.schema, reason)
    return errors.TooManyRequests(_BUSY, retry_after=1)


def _nominal(levels: Mapping[str, PriorityLevelConfiguration], seats: int) -> dict[str, int]:
    """Each level's share of the seats, rounded up as in Kubernetes."""
    shares = {name: _kind(level).nominal_concurrency_shares or 0 for name, level in levels.items()}
    total = sum(shares.values()) or 1
    return {name: -(-seats * share // total) for name, share in shares.items()}


def _kind(level: PriorityLevelConfiguration) -> LimitedPriorityLevelConfiguration | ExemptPriorityLevelConfiguration:
    return level.spec.limited or level.spec.exempt or ExemptPriorityLevelConfiguration()


def _lendable_percent(level: PriorityLevelConfiguration) -> int:
    return _kind(level).lendable_percent or 0


def _capacity(level: PriorityLevelConfiguration, nominal: int, guaranteed: int, lent: int) -> Capacity | None:
    """What a level may do that keeps ``guaranteed`` of its seats, where all levels lend ``lent``. None: all it likes."""
    limited = level.spec.limited
    if level.spec.type == "Exempt" or limited is None:
        return None
    most, borrows = guaranteed + lent, limited.borrowing_limit_percent
    if borrows is not None:
        most = min(most, nominal + nominal * borrows // 100)
    queue, queues = _queues(limited)
    return Capacity(guaranteed, max(most, 1), queue, queues, per_flow=max(most // 2, 1))


def _queues(limited: LimitedPriorityLevelConfiguration) -> tuple[int, int]:
    response = limited.limit_response
    if response is None or response.type != "Queue" or response.queuing is None:
        return 0, 0
    length, queues = response.queuing.queue_length_limit or 0, response.queuing.queues or 0
    return length * (response.queuing.hand_size or 1), length * queues
