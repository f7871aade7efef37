"""Seats: what a level is guaranteed, what it borrows, and fairness among its flows."""

import asyncio

import pytest

from apiserver.flowcontrol.seats import Capacity, Level, Pool, Rejected


def level(pool: Pool | None = None, **capacity: int) -> Level:
    return Level("level", pool or Pool(), Capacity(**{"guaranteed": 4, "most": 4, "per_flow": 4, **capacity}))


def seated(*futures: "asyncio.Future[None] | None") -> list[bool]:
    return [future is None or future.done() for future in futures]


async def test_who_finds_no_seat_waits_for_one() -> None:
    busy = level(queue=9, queues=9)
    assert seated(*[busy.enter("a") for _ in range(6)]) == [True] * 4 + [False] * 2
    busy.leave("a")
    assert (busy.seats, busy.waiting) == (4, 1)


async def test_a_free_seat_goes_to_the_flow_with_the_fewest() -> None:
    busy = level(queue=9, queues=9)
    for _ in range(4):
        busy.enter("a")
    of_a, of_b = busy.enter("a"), busy.enter("b")
    busy.leave("a")
    assert seated(of_a, of_b) == [False, True]


async def test_no_flow_takes_what_others_may_need() -> None:
    busy = level(per_flow=2, queue=9, queues=9)
    first = [busy.enter("a") for _ in range(4)]
    assert seated(*first) == [True, True, False, False]
    assert seated(busy.enter("b"), busy.enter("c")) == [True, True]
    busy.leave("b")
    assert seated(*first) == [True, True, False, False]  # its own limit still holds
    busy.leave("a")
    assert seated(*first) == [True, True, True, False]


async def test_a_request_that_needs_several_seats_is_not_overtaken_for_ever() -> None:
    busy = level(queue=9, queues=9)
    for _ in range(3):
        busy.enter("a")
    wide, small = busy.enter("b", 3), busy.enter("c")
    for _ in range(2):
        assert seated(wide, small) == [False, False]
        busy.leave("a")
    assert seated(wide, small) == [True, False]
    busy.leave("b", 3)
    assert seated(wide, small) == [True, True]
    assert busy.seats == 2


async def test_one_that_needs_more_than_there_are_is_served_alone() -> None:
    busy = level(queue=9, queues=9)
    assert busy.enter("a", 100) is None
    other = busy.enter("b")
    busy.leave("a", 100)
    assert seated(other) == [True]


async def test_queues_are_bounded_each_and_together() -> None:
    busy = level(queue=2, queues=3)
    for _ in range(6):
        busy.enter("a")
    with pytest.raises(Rejected, match="queue-full"):
        busy.enter("a")
    busy.enter("b")
    with pytest.raises(Rejected, match="queue-full"):
        busy.enter("c")
    assert busy.waiting == 3


async def test_a_level_without_queues_rejects_at_once() -> None:
    busy = level()
    for _ in range(4):
        busy.enter("a")
    with pytest.raises(Rejected, match="concurrency-limit"):
        busy.enter("b")


async def test_levels_borrow_from_the_pool_and_keep_what_they_are_guaranteed() -> None:
    pool = Pool()
    pool.free = 3
    greedy, modest = (level(pool, guaranteed=2, most=9, per_flow=9, queue=9, queues=9) for _ in range(2))
    assert seated(*[greedy.enter("a") for _ in range(6)]) == [True] * 5 + [False]
    assert seated(modest.enter("b"), modest.enter("b"), third := modest.enter("b")) == [True, True, False]
    for _ in range(2):  # the first goes to its own flow that waits, the second to the level that waits longest
        greedy.leave("a")
    assert seated(third) == [True]
    for _ in range(4):
        greedy.leave("a")
    for _ in range(3):
        modest.leave("b")
    assert (greedy.seats, modest.seats, pool.free) == (0, 0, 3)


async def test_who_gives_up_leaves_no_trace() -> None:
    busy = level(queue=9, queues=9)
    for _ in range(4):
        busy.enter("a")
    impatient, patient = busy.enter("b"), busy.enter("b")
    assert impatient is not None
    impatient.cancel()
    busy.leave("a")
    busy.give_up("b", impatient)
    assert seated(patient) == [True]
    assert (busy.seats, busy.waiting) == (4, 0)


async def test_a_seat_given_to_one_who_has_just_given_up_is_given_on() -> None:
    busy = level(queue=9, queues=9)
    for _ in range(4):
        busy.enter("a")
    first, second = busy.enter("b"), busy.enter("c")
    busy.leave("a")
    assert first is not None
    busy.give_up("b", first)
    assert seated(second) == [True]


async def test_an_exempt_level_seats_everybody() -> None:
    exempt = Level("exempt", Pool(), None)
    assert seated(*[exempt.enter("a", 25) for _ in range(100)]) == [True] * 100
    exempt.leave("a", 25)
    assert exempt.seats == 99 * 25


async def test_a_level_that_grows_and_shrinks_keeps_its_count() -> None:
    pool = Pool()
    pool.free = 2
    busy = level(pool, guaranteed=2, most=4, queue=9, queues=9)
    futures = [busy.enter("a") for _ in range(5)]
    assert seated(*futures) == [True] * 4 + [False]
    busy.resize(Capacity(guaranteed=6, most=6, per_flow=6, queue=9, queues=9))
    busy.seat_waiting()
    assert seated(*futures) == [True] * 5
    assert pool.free == 2
    busy.resize(Capacity(guaranteed=1, most=1))
    for _ in range(5):
        busy.leave("a")
    assert (busy.seats, pool.free) == (0, 2)
