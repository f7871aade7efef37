"""The order and the patience of the scheduling queue; time is a number that the tests move."""

import asyncio

import pytest

from scheduler.pod_info import pod_info
from scheduler.queue import UNSCHEDULABLE_SECONDS, SchedulingQueue
from tests.objects import make_pod


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> SchedulingQueue:
    return SchedulingQueue(clock)


def info(name: str, priority: int = 0):
    return pod_info(make_pod(name, priority=priority))


async def popped(queue: SchedulingQueue):
    async with asyncio.timeout(1):
        return await queue.pop()


def nothing_is_due(queue: SchedulingQueue) -> bool:
    queue._flush()
    return queue.lengths()["active"] == 0


async def test_priority_comes_first_then_who_waits_longest(queue: SchedulingQueue, clock: Clock) -> None:
    for name, priority in (("old", 0), ("young", 0), ("vip", 10)):
        queue.add(info(name, priority))
        clock.now += 1
    assert [(await popped(queue)).key.name for _ in range(3)] == ["vip", "old", "young"]


async def test_an_unschedulable_pod_waits_for_a_change_and_then_for_its_back_off(
    queue: SchedulingQueue, clock: Clock
) -> None:
    queue.add(info("a"))
    queue.add_unschedulable(await popped(queue))
    clock.now += 60
    assert nothing_is_due(queue)
    queue.move_all()
    pod = await popped(queue)
    queue.add_unschedulable(pod)
    queue.move_all()
    assert nothing_is_due(queue)
    clock.now += 2
    assert (await popped(queue)) is pod


async def test_back_off_grows_from_one_second_to_ten(queue: SchedulingQueue, clock: Clock) -> None:
    queue.add(info("a"))
    waits = []
    for _ in range(6):
        queue.add_backoff(await popped(queue))
        waits.append(queue._until_due())
        clock.now += waits[-1]
    assert waits == [1, 2, 4, 8, 10, 10]


async def test_a_change_during_the_try_counts_for_the_pod(queue: SchedulingQueue, clock: Clock) -> None:
    queue.add(info("a"))
    pod = await popped(queue)
    queue.move_all()
    queue.add_unschedulable(pod)
    assert queue.lengths() == {"active": 0, "backoff": 1, "unschedulable": 0}


async def test_no_pod_waits_longer_than_five_minutes(queue: SchedulingQueue, clock: Clock) -> None:
    queue.add(info("a"))
    queue.add_unschedulable(await popped(queue))
    clock.now += UNSCHEDULABLE_SECONDS - 1
    assert nothing_is_due(queue)
    clock.now += 1
    assert (await popped(queue)).key.name == "a"


async def test_a_deleted_pod_is_not_tried_and_a_changed_one_at_once(queue: SchedulingQueue, clock: Clock) -> None:
    queue.add(info("a"))
    queue.add(info("b"))
    queue.delete(info("a").key)
    pod = await popped(queue)
    assert pod.key.name == "b"
    queue.add_unschedulable(pod)
    clock.now += 5
    queue.add(info("b", priority=5))
    again = await popped(queue)
    assert (again.info.priority, again.attempts) == (5, 2)


async def test_pop_wakes_up_when_a_pod_comes(queue: SchedulingQueue) -> None:
    waiting = asyncio.create_task(queue.pop())
    await asyncio.sleep(0)
    queue.add(info("a"))
    assert (await waiting).key.name == "a"


async def test_a_pod_of_the_same_name_made_anew_has_no_history(queue: SchedulingQueue, clock: Clock) -> None:
    queue.add(info("a"))
    queue.add_unschedulable(await popped(queue))
    queue.add(pod_info(make_pod("a", uid="another")))
    assert (await popped(queue)).attempts == 1
