"""Stopping a container step by step, by a clock of the test's own."""

from kubelet.pods.stopper import Stopper
from tests.unit.kubelet.records import record


class Signals:
    """Keeps what a container was sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def signal(self, id: str, signal: str) -> None:
        self.sent.append(signal)


async def test_signal_then_deadline() -> None:
    runtime, now = Signals(), [0.0]
    stopper = Stopper(runtime, lambda: now[0])  # type: ignore[arg-type]
    assert await stopper.stop(record(), 10) == 10
    now[0] = 9
    assert await stopper.stop(record(), 10) == 1
    now[0] = 10
    await stopper.stop(record(), 10)
    assert runtime.sent == ["SIGTERM", "SIGKILL"]


async def test_the_hook_is_part_of_the_grace_period() -> None:
    runtime, now, ended = Signals(), [0.0], [False]
    stopper = Stopper(runtime, lambda: now[0])  # type: ignore[arg-type]
    assert await stopper.stop(record(), 10, hook_done=ended[0]) == 10
    assert runtime.sent == []
    now[0], ended[0] = 4, True
    assert await stopper.stop(record(), 10, hook_done=ended[0]) == 6
    assert runtime.sent == ["SIGTERM"]


async def test_a_hook_without_end_leaves_the_container_a_moment() -> None:
    runtime, now = Signals(), [0.0]
    stopper = Stopper(runtime, lambda: now[0])  # type: ignore[arg-type]
    await stopper.stop(record(), 10, hook_done=False)
    now[0] = 10
    assert await stopper.stop(record(), 10, hook_done=False) == 2
    assert runtime.sent == ["SIGTERM"]
    now[0] = 12
    await stopper.stop(record(), 10, hook_done=False)
    assert runtime.sent == ["SIGTERM", "SIGKILL"]


async def test_no_grace_no_hook() -> None:
    runtime = Signals()
    stopper = Stopper(runtime, lambda: 0.0)  # type: ignore[arg-type]
    await stopper.stop(record(), 0, hook_done=False)
    assert runtime.sent == ["SIGKILL"]
