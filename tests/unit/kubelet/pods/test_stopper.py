"""How long a container has to end, and stopping it step by step, by a clock of the test's own."""

import pytest

from kubelet.pods.plan import Stop
from kubelet.pods.stopper import Stopper
from kubelet.pods.worker import grace_period
from tests.unit.kubelet.records import make_pod, record


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


@pytest.mark.parametrize(
    ("deletion", "of_probe", "of_pod", "expected"),
    [
        pytest.param(0, 7, 30, 0, id="a deletion's own comes first, even of zero"),
        pytest.param(None, 7, 30, 7, id="then that of the probe that failed"),
        pytest.param(None, None, 30, 30, id="then the pod's"),
        pytest.param(None, None, None, 45, id="at last the container's label"),
    ],
)
def test_whose_grace_period_counts(
    deletion: int | None, of_probe: int | None, of_pod: int | None, expected: int
) -> None:
    pod = make_pod(termination_grace_period_seconds=of_pod)
    pod.metadata.deletion_grace_period_seconds = deletion
    assert grace_period(pod, Stop(record(grace_period=45), "why", of_probe)) == expected
