"""The seats of a priority level: who sits, who waits, who is sent away.

Of its nominal seats a level keeps those for itself that it does not lend; the others are in a ``Pool`` from which all
levels borrow. So an idle cluster's one user has nearly all seats, and still every level can serve at once what it is
guaranteed. Within a level no flow gets more than half of the seats, and a seat that becomes free goes to the flow with
the fewest. Kubernetes hashes flows into a fixed number of queues; here each flow has a queue of its own, bounded in
length as its hand of queues would be there, and all queues of a level together.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal, NamedTuple

Reason = Literal["queue-full", "concurrency-limit", "time-out"]


class Rejected(Exception):
    """There is no seat, and no place to wait for one."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


@dataclass(frozen=True)
class Capacity:
    """How much a level may do at once. Seats are whole numbers."""

    guaranteed: int
    most: int
    """With what it may borrow."""
    queue: int = 0
    """Requests of one flow that may wait; 0: none ever waits."""
    queues: int = 0
    """Requests of all flows together that may wait."""
    per_flow: int = 1
    """Seats of one flow; a single request may take more."""


class Pool:
    """The seats that are lent, and the levels that wait for one."""

    def __init__(self) -> None:
        self.free = 0
        self.waiting: dict[Level, None] = {}

    def seat(self) -> None:
        for level in [*self.waiting]:
            level.seat_waiting()


class _Waiter(NamedTuple):
    number: int
    seats: int
    future: "asyncio.Future[None]"


class _Queue:
    """One flow: the seats that it has, and its requests that wait for one."""

    __slots__ = ("seats", "waiters")

    def __init__(self) -> None:
        self.seats = 0
        self.waiters: deque[_Waiter] | tuple[()] = ()  # made when somebody waits, which few ever do


_numbers: Final = count()


class Level:
    """One priority level. ``capacity`` None exempts it: nothing is counted against it."""

    def __init__(self, name: str, pool: Pool, capacity: Capacity | None) -> None:
        self.name = name
        self.seats = 0
        self.waiting = 0
        self._pool = pool
        self._capacity = capacity
        self._flows: dict[str, _Queue] = {}
        self._is_blocked = False  # the one whose turn it is waits for more seats: nobody may take these

    def queues(self) -> list[tuple[str, int, int]]:
        """The flows that have seats or wait for some: name, seats, requests that wait."""
        return [(name, queue.seats, len(queue.waiters)) for name, queue in self._flows.items()]

    def resize(self, capacity: Capacity | None) -> None:
        """Change what the level may do from now on."""
        before = self._borrowed(self.seats)
        self._capacity = capacity
        self._pool.free += before - self._borrowed(self.seats)

    def enter(self, flow: str, seats: int = 1) -> "asyncio.Future[None] | None":
        """Take seats for a request of a flow, to be given back with ``leave``.

        Returns None if they are taken. Otherwise the request has to wait for the future; ``give_up`` if it does not.

        Raises:
            Rejected: no more requests may wait.
        """
        capacity = self._capacity
        if capacity is None:
            self.seats += seats
            return None
        queue = self._flows.get(flow)
        if queue is None:
            queue = self._flows[flow] = _Queue()
        if not queue.waiters and not self._is_blocked and self._may(queue, seats) and self._has(seats):
            self._sit(queue, seats)
            return None
        if len(queue.waiters) >= capacity.queue or self.waiting >= capacity.queues:
            self._forget(flow, queue)
            raise Rejected("queue-full" if capacity.queue else "concurrency-limit")
        waiter = _Waiter(next(_numbers), seats, asyncio.get_running_loop().create_future())
        if isinstance(queue.waiters, tuple):
            queue.waiters = deque()
        queue.waiters.append(waiter)
        self.waiting += 1
        self._pool.waiting[self] = None
        self.seat_waiting()
        return waiter.future

    def leave(self, flow: str, seats: int = 1) -> None:
        """Give back seats that were taken."""
        queue = self._flows.get(flow)
        borrowed = self._borrowed(self.seats)
        self.seats -= seats
        self._pool.free += borrowed - self._borrowed(self.seats)
        if queue is not None:  # None for what was seated while the level was exempt
            queue.seats -= seats
            self._forget(flow, queue)
        if self._pool.waiting:
            self._pool.seat()

    def give_up(self, flow: str, future: "asyncio.Future[None]", seats: int = 1) -> None:
        """Wait no longer; if the future has just been fulfilled, give the seats back."""
        if future.done() and not future.cancelled():
            self.leave(flow, seats)
            return
        queue = self._flows.get(flow)
        waiter = next((waiter for waiter in queue.waiters if waiter.future is future), None) if queue else None
        if queue is not None and isinstance(queue.waiters, deque) and waiter is not None:
            queue.waiters.remove(waiter)
            self._waits_less(flow, queue)
            self.seat_waiting()

    def seat_waiting(self) -> None:
        """Seat those who can be: each time the first of the flow that has the fewest seats."""
        self._is_blocked = False
        while self.waiting:
            able = [
                (queue.seats, queue.waiters[0].number, flow)
                for flow, queue in self._flows.items()
                if queue.waiters and self._may(queue, queue.waiters[0].seats)
            ]
            if not able:
                return
            flow = min(able)[2]
            queue = self._flows[flow]
            assert isinstance(queue.waiters, deque)
            waiter = queue.waiters[0]
            if not self._has(waiter.seats):
                self._is_blocked = True
                return
            queue.waiters.popleft()
            self._waits_less(flow, queue)
            if not waiter.future.done():
                self._flows[flow] = queue
                self._sit(queue, waiter.seats)
                waiter.future.set_result(None)

    def _sit(self, queue: _Queue, seats: int) -> None:
        borrowed = self._borrowed(self.seats)
        self.seats += seats
        queue.seats += seats
        self._pool.free -= self._borrowed(self.seats) - borrowed

    def _may(self, queue: _Queue, seats: int) -> bool:
        """Whether the flow may have so many more; one request of each flow always may."""
        capacity = self._capacity
        if capacity is None or not queue.seats:
            return True
        return queue.seats + seats <= capacity.per_flow

    def _has(self, seats: int) -> bool:
        """Whether there are so many seats; one request may always sit, however many seats it takes."""
        capacity = self._capacity
        if capacity is None or not self.seats:
            return True
        after = self.seats + seats
        return after <= capacity.most and self._borrowed(after) - self._borrowed(self.seats) <= self._pool.free

    def _borrowed(self, seats: int) -> int:
        """How many of so many seats are the pool's."""
        return max(0, seats - self._capacity.guaranteed) if self._capacity is not None else 0

    def _waits_less(self, flow: str, queue: _Queue) -> None:
        self.waiting -= 1
        if not self.waiting:
            self._pool.waiting.pop(self, None)
        self._forget(flow, queue)

    def _forget(self, flow: str, queue: _Queue) -> None:
        if queue.seats <= 0 and not queue.waiters:
            self._flows.pop(flow, None)
