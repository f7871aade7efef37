"""When an engine counts as down: not at its first late answer, and at once when it can run nothing."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kubelet.runtime import Defaults, Engine, Runtime, errors
from kubelet.runtime import runtime as runtime_module


class StandIn(Engine):
    """An engine whose answer to the next call is set by the test."""

    def __init__(self) -> None:
        super().__init__("unix:///nowhere")
        self.answer: Any = {"ServerVersion": "20.10", "ContainerdCommit": {"ID": "1.6"}}
        self.quiet = 0.0

    @property
    def silence(self) -> float:
        return self.quiet

    async def call(self, work: Callable[[Any], Any]) -> Any:
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        self.quiet = 0.0
        return self.answer


@pytest.fixture
def engine() -> StandIn:
    return StandIn()


@pytest.fixture
async def runtime(engine: StandIn) -> Runtime:
    made = Runtime(engine, Defaults(network="peapod", pause_image="pause:1"))
    assert await made.check(1) is not None
    assert made.fault == ""
    return made


async def test_a_busy_engine_is_not_a_dead_one(runtime: Runtime, engine: StandIn) -> None:
    engine.answer = None
    engine.quiet = 12.0
    assert await runtime.check(0.01) is None
    assert runtime.fault == ""
    engine.quiet = runtime_module.SILENCE + 1
    assert await runtime.check(0.01) is None
    assert runtime.fault == "no answer within 0 s"


async def test_an_engine_that_cannot_be_reached_is_down_after_a_time(runtime: Runtime, engine: StandIn) -> None:
    changes: list[str] = []
    runtime.on_health(lambda: changes.append(runtime.fault))
    engine.answer, engine.quiet = errors.Unavailable("cannot reach the engine"), 12.0
    assert await runtime.check(1) is None
    engine.quiet = runtime_module.SILENCE + 1
    assert await runtime.check(1) is None
    engine.answer = {"ContainerdCommit": {"ID": ""}}  # one built without a version
    assert await runtime.check(1) is not None
    assert changes == ["cannot reach the engine", ""]


async def test_an_engine_without_containerd_is_down_at_once(runtime: Runtime, engine: StandIn) -> None:
    engine.answer = {"ServerVersion": "20.10", "ContainerdCommit": {"ID": "N/A", "Expected": "N/A"}}
    assert await runtime.check(1) is not None
    assert runtime.fault == "containerd does not answer the engine"


async def test_every_answer_of_the_engine_counts() -> None:
    engine = Engine("unix:///nowhere")
    assert engine.silence == float("inf")
    engine._client = object()  # type: ignore[assignment]

    async def ask(error: errors.EngineError) -> None:
        def work(_: object) -> None:
            raise error

        with pytest.raises(type(error)):
            await engine.call(work)

    await ask(errors.Unavailable("cannot reach the engine"))
    await ask(errors.Refused("containerd: connection refused"))
    assert engine.silence == float("inf")
    await ask(errors.NotFound("no such container"))
    assert engine.silence < 60
