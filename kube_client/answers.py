"""Answers of a server that are remembered for a while.

Who asks the same at the same time shares one request. Questions may come from anybody: so many are remembered, and so
many asked at once, that neither memory nor the server suffers; who cannot be answered in time is refused.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, NamedTuple, TypeVar

from apimachinery import errors

K = TypeVar("K", bound=Hashable)
A = TypeVar("A")

PATIENCE: Final = 10.0
"""Seconds that a question waits for its turn and its answer."""
_REMEMBERED: Final = 4096
_AT_ONCE: Final = 16
_WAITING: Final = 1024


class _Known(NamedTuple, Generic[A]):
    answer: A
    until: float


class Answers(Generic[K, A]):
    """Each answer is remembered for as many seconds as ``seconds`` says of it."""

    def __init__(self, seconds: Callable[[A], float]) -> None:
        self._seconds = seconds
        self._known: dict[K, _Known[A]] = {}
        self._asked: dict[K, asyncio.Task[A]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def to(self, question: K, ask: Callable[[], Awaitable[A]]) -> A:
        """The answer to a question, from ``ask`` unless it is known. Raises ApiError, which is not remembered."""
        known = self._known.get(question)
        if known is not None and time.monotonic() < known.until:
            return known.answer
        task = self._asked.get(question)
        if task is None:
            if len(self._asked) >= _WAITING:
                raise errors.ServiceUnavailable("too many questions wait for the apiserver's answer", retry_after=1)
            task = self._asked[question] = asyncio.create_task(self._answered(question, ask), name="question")
            task.add_done_callback(lambda done: self._end(question, done))
        return await asyncio.shield(task)

    async def _answered(self, question: K, ask: Callable[[], Awaitable[A]]) -> A:
        try:
            async with asyncio.timeout(PATIENCE), self._places:
                answer = await ask()
        except TimeoutError as fault:
            raise errors.Timeout("the apiserver does not answer in time") from fault
        self._known.pop(question, None)  # so that it comes back as the newest
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        if (seconds := self._seconds(answer)) > 0:
            self._known[question] = _Known(answer, time.monotonic() + seconds)
        return answer

    def _end(self, question: K, done: "asyncio.Task[A]") -> None:
        del self._asked[question]
        if not done.cancelled():
            done.exception()  # everybody who asked may have left
