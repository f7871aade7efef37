"""The parts of the watch cache: order, the ring of events, subscriptions, waiting."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import errors
from apimachinery.types import core_v1, meta_v1
from apiserver.storage import Cache, Lagged
from apiserver.storage import subscription as subscriptions
from apiserver.storage.cache import Index
from apiserver.storage.current import CurrentRevision
from apiserver.storage.etcd import Change, KeyValue
from apiserver.storage.etcd.errors import Unavailable
from apiserver.storage.leases import Leases
from apiserver.storage.objects import Event, Stored, from_value, to_value
from apiserver.storage.progress import Progress
from apiserver.storage.ring import FRESH, LATEST, Ring
from apiserver.storage.subscription import Subscription

PREFIX = "/registry/core/pods/"
KEYS = st.builds("{}{}/{}".format, st.just(PREFIX), st.sampled_from(["a", "a-b", "b"]), st.text("a-z0.", min_size=1))


def value(name: str) -> bytes:
    return to_value(core_v1.Pod(metadata=meta_v1.ObjectMeta(name=name)))


def stored(key: str, revision: int) -> Stored[core_v1.Pod]:
    return from_value(key, value(key), revision, core_v1.Pod)


def event(revision: int, time: float = 0.0, key: str = PREFIX + "a/x") -> Event[core_v1.Pod]:
    return Event(key, revision, None, stored(key, revision), time)


@given(st.lists(st.tuples(KEYS, st.booleans())), KEYS, st.integers(0, 5))
def test_the_index_lists_like_a_sorted_dict(steps: list, start: str, limit: int) -> None:
    index, model = Index(), {}
    for n, (key, put) in enumerate(steps):
        if put:
            index.put(model.setdefault(key, stored(key, n)))
        else:
            index.remove(key)
            model.pop(key, None)
    for prefix in (PREFIX, PREFIX + "a/"):
        expected = sorted(key for key in model if key.startswith(prefix) and key >= start)
        found, remaining = index.range(prefix, start, limit)
        assert [item.key for item in found] == (expected[:limit] if limit else expected)
        assert remaining == len(expected) - len(found)


def test_the_ring_gives_what_came_after_a_revision() -> None:
    ring = Ring(least=10)
    ring.reset(3)
    for revision in (5, 5, 8):
        ring.append(event(revision))
    assert [event.revision for event in ring.since(3)] == [5, 5, 8]
    assert [event.revision for event in ring.since(5)] == [8]
    assert list(ring.since(8)) == []
    with pytest.raises(errors.Expired, match=r"too old resource version: 2 \(3\)"):
        ring.since(2)


def test_the_ring_keeps_fresh_events_up_to_its_bound_and_shrinks_afterwards() -> None:
    ring = Ring(least=2, most=5)
    for revision in range(1, 9):
        ring.append(event(revision, time=0.0))
    assert (len(ring), ring.oldest) == (5, 3)
    ring.append(event(9, time=FRESH + 1))
    assert (len(ring), ring.oldest) == (2, 7)
    with pytest.raises(errors.Expired):
        ring.since(6)
    assert [event.revision for event in ring.since(7)] == [8, 9]


def test_the_ring_is_bounded_in_bytes() -> None:
    size = len(event(1).new.data)
    ring = Ring(least=100, most_bytes=3 * size)
    for revision in range(1, 8):
        ring.append(event(revision))
    assert (len(ring), ring.oldest) == (3, 4)


def test_only_the_latest_events_keep_how_they_were_sent() -> None:
    ring = Ring()
    for revision in range(1, LATEST + 2):
        sent = event(revision)
        sent.encodings["ADDED"] = b"as it was sent"
        ring.append(sent)
    oldest, second, *_ = ring.since(0)
    assert (oldest.encodings, second.encodings) == ({}, {"ADDED": b"as it was sent"})


def subscription(limit: int = 3) -> Subscription[core_v1.Pod]:
    return Subscription(PREFIX, [], limit, lambda: 9, lambda _: None)


async def test_a_subscription_wakes_for_an_event_and_gives_all_that_wait() -> None:
    watcher = subscription()
    waiting = asyncio.create_task(watcher.next())
    await asyncio.sleep(0)
    assert watcher.push(event(1))
    assert watcher.push(event(2))
    assert [event.revision for event in await waiting] == [1, 2]
    assert await watcher.next(timeout=0.001) == []


async def test_a_subscription_with_no_room_is_over() -> None:
    watcher = subscription(limit=2)
    assert [watcher.push(event(n)) for n in (1, 2, 3)] == [True, True, False]
    with pytest.raises(Lagged):
        await watcher.next()


async def test_a_subscription_does_not_keep_more_than_a_ring_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MOST_BYTES", 2 * event(1).size)
    watcher = subscription(limit=100)
    assert [watcher.push(event(n)) for n in range(1, 5)] == [True, True, True, False]
    with pytest.raises(Lagged):
        await watcher.next()


async def test_an_ended_subscription_wakes_its_watcher() -> None:
    watcher = subscription()
    waiting = asyncio.create_task(watcher.next())
    await asyncio.sleep(0)
    watcher.end(errors.Expired("gone"))
    with pytest.raises(errors.Expired):
        await waiting


async def test_a_cancelled_wait_loses_nothing() -> None:
    watcher = subscription()
    waiting = asyncio.create_task(watcher.next())
    await asyncio.sleep(0)
    watcher.push(event(1))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(await watcher.next()) == 1


async def test_progress_wakes_who_waited_for_it_and_no_one_else() -> None:
    progress = Progress()
    early, late = (asyncio.create_task(progress.wait(revision, 1)) for revision in (5, 7))
    await asyncio.sleep(0)
    progress.advance(6)
    await early
    assert not late.done()
    progress.advance(7)
    await late
    with pytest.raises(errors.TooLargeResourceVersion):
        await progress.wait(8, 0.001)
    assert progress._waiters == []


async def test_a_question_gets_an_answer_from_after_it_was_asked() -> None:
    """Who asks while etcd is being asked must not get that answer: it may be older than the question."""
    answers = asyncio.Queue[int]()
    calls = 0
    asked = asyncio.Event()

    async def ask() -> int:
        nonlocal calls
        calls += 1
        asked.set()
        return await answers.get()

    current = CurrentRevision(ask)
    runner = asyncio.create_task(current.run())
    first = asyncio.create_task(current.get())
    await asked.wait()
    later = [asyncio.create_task(current.get()) for _ in range(10)]
    await asyncio.sleep(0)
    answers.put_nowait(1)
    assert await first == 1
    answers.put_nowait(2)
    assert await asyncio.gather(*later) == [2] * 10
    assert calls == 2
    runner.cancel()


async def test_a_failed_question_fails_for_all_who_asked_it_and_not_for_the_next() -> None:
    outcomes: list[int | Exception] = [Unavailable("gone"), 4]

    async def ask() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    current = CurrentRevision(ask)
    runner = asyncio.create_task(current.run())
    assert {
        type(outcome) for outcome in await asyncio.gather(current.get(), current.get(), return_exceptions=True)
    } == {Unavailable}
    assert await current.get() == 4
    runner.cancel()


async def test_a_cache_applies_what_came_while_its_list_was_read_once() -> None:
    progress = Progress()
    cache = Cache(PREFIX, core_v1.Pod, progress, lambda: asyncio.sleep(0, 0))
    key = PREFIX + "a/x"
    cache.apply(4, Change(key, value("4")))
    cache.apply(6, Change(key, None))
    assert cache.get(key) is None
    cache.replace(cache.decoded([KeyValue(key, value("5"), 5, 1)]), 5)
    assert cache.get(key) is None
    with cache.watch(PREFIX, 5) as watcher:
        assert [(event.type, event.revision) for event in await watcher.next()] == [("DELETED", 6)]


async def test_a_cache_sheds_what_readers_derived() -> None:
    cache = Cache(PREFIX, core_v1.Pod, Progress(), lambda: asyncio.sleep(0, 0))
    cache.replace([stored(PREFIX + "a/x", 5)], 5)
    read = cache.get(PREFIX + "a/x")
    assert read is not None
    before, read.memo["gzip"] = read.object, b"compressed"
    await cache.shed()
    assert read.memo == {}
    assert read.object == before
    assert read.object is not before


async def test_a_watch_hears_of_its_own_namespace_or_object_only() -> None:
    progress = Progress()
    cache = Cache(PREFIX, core_v1.Pod, progress, lambda: asyncio.sleep(0, 0))
    cache.replace([], 1)
    watchers = [cache.watch(prefix, 1) for prefix in (None, PREFIX + "a/", PREFIX + "a/x")]
    for revision, key in enumerate((PREFIX + "a/x", PREFIX + "a/xx", PREFIX + "a-b/x"), start=2):
        cache.apply(revision, Change(key, value("v")))
    assert [len(await watcher.next()) for watcher in watchers] == [3, 2, 1]
    assert [cache.changed_at(prefix) for prefix in (None, PREFIX + "a/", PREFIX + "a-b/")] == [4, 3, 4]
    progress.advance(4)
    assert [len(await cache.watch(w.prefix, 1).next()) for w in watchers] == [3, 2, 1]


class GrantingEtcd:
    def __init__(self) -> None:
        self.granted: list[int] = []

    async def grant_lease(self, ttl: int) -> int:
        self.granted.append(ttl)
        return len(self.granted)


async def test_leases_are_shared_within_a_minute_and_never_too_short() -> None:
    now = 30.0
    etcd = GrantingEtcd()
    leases = Leases(etcd, clock=lambda: now)  # type: ignore[arg-type]
    assert {await leases.lease_for(3600) for _ in range(1000)} == {1}
    assert await leases.lease_for(3600) == 2  # etcd would have to delete too many keys at once
    now = 95.0
    assert await leases.lease_for(3600) == 3
    assert all(3600 <= ttl < 3660 for ttl in etcd.granted)
    leases.forget(3)
    assert await leases.lease_for(3600) == 4
