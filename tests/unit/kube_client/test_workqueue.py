"""The queue's promises, and the loop that decides about retry; all in virtual time."""

import asyncio
import logging
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY

from apimachinery import errors
from apimachinery.types import meta_v1
from kube_client.workqueue import Backoff, WorkQueue, process


def now() -> float:
    return asyncio.get_running_loop().time()


async def take_all(queue: WorkQueue[str]) -> list[str]:
    taken = []
    while len(queue):
        key = await queue.get()
        queue.done(key)
        taken.append(key)
    return taken


async def test_a_key_is_queued_once() -> None:
    queue = WorkQueue[str]("test")
    for key in "abab":
        queue.add(key)
    assert await take_all(queue) == ["a", "b"]


async def test_a_key_added_while_worked_on_comes_again_afterwards_and_not_before() -> None:
    queue = WorkQueue[str]("test")
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done(key)
    assert await take_all(queue) == ["a"]


async def test_a_waiting_taker_gets_the_key() -> None:
    queue = WorkQueue[str]("test")
    takers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    assert sorted(await asyncio.gather(*takers)) == ["a", "b"]


async def test_a_cancelled_taker_loses_no_key() -> None:
    queue = WorkQueue[str]("test")
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add("a")  # wakes the first
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


def test_a_delayed_key_comes_when_it_is_due_and_the_earliest_wish_counts(virtual) -> None:
    async def main() -> None:
        queue = WorkQueue[str]("test")
        start = now()
        queue.add_after("late", 3600)
        queue.add_after("a", 60)
        queue.add_after("a", 10)
        queue.add_after("a", 90)
        assert len(queue) == 0
        assert await queue.get() == "a"
        assert now() - start == pytest.approx(10, abs=0.5)
        queue.done("a")
        assert await queue.get() == "late"  # "a" came once, not at 60 and 90 again
        assert now() - start == pytest.approx(3600, abs=1)

    virtual(main())


def test_delays_double_up_to_the_limit_per_key_and_start_anew_after_success() -> None:
    backoff = Backoff[str](jitter=0)
    assert [backoff.next("a") for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
    assert backoff.next("b") == 0.005
    for _ in range(2000):
        last = backoff.next("a")
    assert last == 1000
    backoff.forget("a")
    assert backoff.next("a") == 0.005


def test_jitter_only_lengthens() -> None:
    delays = {Backoff[str](base=1, jitter=0.1).next("a") for _ in range(50)}
    assert len(delays) > 1
    assert all(1 <= delay <= 1.1 for delay in delays)


@pytest.mark.parametrize("error", [errors.Conflict("stale"), ValueError("a bug")])
def test_what_fails_is_tried_again_later_and_hurts_no_other(virtual, caplog, error: Exception) -> None:
    async def main() -> None:
        queue = WorkQueue[str]("test")
        tries: list[tuple[str, float]] = []

        async def sync(key: str) -> None:
            tries.append((key, now()))
            if key == "bad" and len([attempt for attempt in tries if attempt[0] == "bad"]) < 4:
                raise error

        work = asyncio.create_task(process(queue, sync, workers=2))
        queue.add("bad")
        queue.add("good")
        await asyncio.sleep(1)
        times = [at for key, at in tries if key == "bad"]
        assert len(times) == 4
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert gaps == [pytest.approx(gap, rel=0.11) for gap in (0.005, 0.01, 0.02)]
        assert [key for key, _ in tries].count("good") == 1
        assert queue.failures("bad") == 0
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    with caplog.at_level(logging.INFO):
        virtual(main())
    expected = logging.INFO if isinstance(error, errors.ApiError) else logging.ERROR
    assert {record.levelno for record in caplog.records if "bad: test" in record.getMessage()} == {expected}


async def test_a_sync_that_never_waits_and_adds_its_key_again_leaves_the_loop_to_others() -> None:
    queue = WorkQueue[str]("test")
    other = asyncio.Event()

    async def sync(key: str) -> None:
        syncs.append(key)
        if len(syncs) == 10:
            asyncio.get_running_loop().call_soon(other.set)
        if len(syncs) < 1000:  # with a fault this ends all the same
            queue.add(key)

    syncs: list[str] = []
    work = asyncio.create_task(process(queue, sync))
    queue.add("a")
    await other.wait()
    assert len(syncs) < 20
    work.cancel()
    await asyncio.wait([work])


def test_several_keys_at_once_and_never_one_twice(virtual) -> None:
    async def main() -> None:
        queue = WorkQueue[int]("test")
        running: set[int] = set()
        most = 0

        async def sync(key: int) -> None:
            nonlocal most
            assert key not in running
            running.add(key)
            most = max(most, len(running))
            await asyncio.sleep(1)
            queue.add(key % 3) if key > 3 else None
            running.discard(key)

        work = asyncio.create_task(process(queue, sync, workers=4))
        for key in range(20):
            queue.add(key)
        await asyncio.sleep(60)
        assert most == 4
        assert not running
        work.cancel()
        await asyncio.wait([work])

    virtual(main())


async def test_metrics_tell_of_depth_and_adds() -> None:
    queue = WorkQueue[str]("measured")
    queue.add("a")
    queue.add("b")
    labels = {"name": "measured"}
    assert REGISTRY.get_sample_value("workqueue_depth", labels) == 2
    assert REGISTRY.get_sample_value("workqueue_adds_total", labels) == 2
    await take_all(queue)
    assert REGISTRY.get_sample_value("workqueue_depth", labels) == 0
    assert REGISTRY.get_sample_value("workqueue_queue_duration_seconds_count", labels) == 2


def test_what_is_refused_because_its_namespace_ends_is_not_tried_again(
    virtual, caplog: pytest.LogCaptureFixture
) -> None:
    cause = meta_v1.StatusCause(reason="NamespaceTerminating")
    refusal = errors.Forbidden("namespace ns is being terminated", details=meta_v1.StatusDetails(causes=[cause]))
    attempts: list[str] = []

    async def sync(key: str) -> None:
        attempts.append(key)
        raise refusal if key == "ending" else errors.Forbidden("no")

    async def main() -> None:
        queue = WorkQueue[str]("test")
        work = asyncio.create_task(process(queue, sync))
        queue.add("ending")
        queue.add("forbidden")
        await asyncio.sleep(1)
        work.cancel()
        await asyncio.wait([work])

    with caplog.at_level("INFO"):
        virtual(main())
    assert attempts.count("ending") == 1
    assert attempts.count("forbidden") > 1
    assert not any("ending" in message for message in caplog.messages)
