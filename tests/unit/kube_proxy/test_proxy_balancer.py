"""The choice of a backend."""

import time

from kube_proxy.dataplane.affinity import AffinityMemory
from kube_proxy.dataplane.balancer import Balancer

A, B, C = ("10.1.0.1", 80), ("10.1.0.2", 80), ("10.1.0.3", 80)


def make_balancer(affinity_seconds: int | None = None, dice: float = 0.0) -> Balancer:
    balancer = Balancer(affinity_seconds, dice=lambda: dice)
    balancer.replace((A, B, C))
    return balancer


def test_the_dice_decide() -> None:
    assert [make_balancer(dice=dice).pick("c", 0) for dice in (0.0, 0.34, 0.99)] == [A, B, C]


def test_a_backend_is_not_tried_twice() -> None:
    balancer = make_balancer()
    assert balancer.pick("c", 0, tried=[A]) == B
    assert balancer.pick("c", 0, tried=[A, B, C]) is None
    balancer.replace(())
    assert balancer.pick("c", 0) is None


def test_affinity_keeps_a_client_until_it_was_idle_for_too_long() -> None:
    rolls = iter([0.0, 0.5, 0.99])
    balancer = Balancer(10, dice=lambda: next(rolls))
    balancer.replace((A, B, C))
    assert [balancer.pick("c", now) for now in (0, 9, 18)] == [A, A, A]
    assert balancer.pick("other", 18) == B
    assert balancer.pick("c", 28) == C


def test_affinity_survives_a_service_scaled_to_nothing_and_back() -> None:
    rolls = iter([0.5, 0.0])
    balancer = Balancer(10, dice=lambda: next(rolls))
    balancer.replace((A, B))
    assert balancer.pick("c", 0) == B
    balancer.replace(())
    assert balancer.pick("c", 1) is None
    balancer.replace((A, B))
    assert balancer.pick("c", 2) == B


def test_a_failed_backend_loses_its_client() -> None:
    rolls = iter([0.0, 0.99])
    balancer = Balancer(10, dice=lambda: next(rolls))
    balancer.replace((A, B))
    assert balancer.pick("c", 0) == A
    balancer.failed("c", A)
    assert balancer.pick("c", 1) == B
    balancer.failed("c", A)
    assert balancer.pick("c", 2) == B


def test_expired_entries_are_forgotten() -> None:
    balancer = make_balancer(affinity_seconds=10)
    balancer.pick("c", 0)
    balancer.pick("d", 8)
    balancer.forget_expired(11)
    assert set(balancer._chosen) == {"d"}


def test_what_is_told_and_remembered_makes_another_process_choose_alike() -> None:
    first = make_balancer(10, dice=0.5)
    first.pick("c", 100)
    first.pick("d", 101)
    first.failed("d", B)
    memory = AffinityMemory()
    memory.learn(first.take_changes(), 10**9)
    assert not first.has_changes
    second = make_balancer(10, dice=0.0)
    second.remember(memory.choices(10**9))
    assert second.pick("c", 105) == B
    assert second.pick("d", 105) == A


def test_the_memory_of_choices_is_bounded_by_their_time() -> None:
    memory, now = AffinityMemory(), time.monotonic()
    for n in range(10_000):
        memory.learn([(f"c{n}", A, now - 100 + n / 100)], 10)
    assert len(memory) <= 2 * 1024
    assert {client for client, _, _ in memory.choices(10)} <= {f"c{n}" for n in range(8_900, 10_000)}
