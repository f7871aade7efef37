"""What tests of every kind share. Nothing of the product stands in here for something else."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], T | Awaitable[T]], timeout: float = 10.0, interval: float = 0.02) -> T:
    """What ``condition`` returns once that is true. It may raise AssertionError meanwhile, and be a coroutine.

    Raises:
        AssertionError: it did not come true within ``timeout`` seconds; the last failure is chained.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        failure = None
        try:
            result = condition()
            if inspect.isawaitable(result):
                result = await result
            if result:
                return result  # type: ignore[return-value]
        except AssertionError as exc:
            failure = exc
        if loop.time() >= deadline:
            raise AssertionError(f"not true after {timeout} s") from failure
        await asyncio.sleep(interval)
