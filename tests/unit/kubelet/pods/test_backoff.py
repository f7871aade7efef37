"""Growing pauses, with time as a parameter."""

from kubelet.pods.backoff import Backoff


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_restart_is_at_once_and_later_ones_wait_twice_as_long_each() -> None:
    clock = Clock()
    backoff = Backoff(10.0, 300.0, clock)
    pauses = []
    for _ in range(8):
        failed_at = clock.now
        pauses.append(backoff.wait("c", failed_at))
        clock.now += pauses[-1]
        backoff.count("c", failed_at)
    assert pauses == [0, 10, 20, 40, 80, 160, 300, 300]


def test_waiting_counts_from_the_failure() -> None:
    clock = Clock()
    backoff = Backoff(10.0, 300.0, clock)
    backoff.count("c", clock.now)
    failed_at = clock.now
    clock.now += 4
    assert backoff.wait("c", failed_at) == 6
    clock.now += 10
    assert backoff.wait("c", failed_at) == 0


def test_a_good_time_starts_it_from_the_beginning() -> None:
    clock = Clock()
    backoff = Backoff(10.0, 300.0, clock)
    backoff.count("c", clock.now)
    backoff.count("c", clock.now)
    clock.now += 601
    assert backoff.wait("c", clock.now) == 0
    backoff.count("c", clock.now)
    assert backoff.pause("c") == 10


def test_keys_do_not_share_pauses() -> None:
    clock = Clock()
    backoff = Backoff(10.0, 300.0, clock)
    backoff.count("a", clock.now)
    assert backoff.wait("b", clock.now) == 0
    backoff.forget("a")
    assert backoff.wait("a", clock.now) == 0
