"""Helpers for all tests."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], T | Awaitable[T]], timeout: float = 30.0, interval: float = 0.02) -> T:
    """Wait until ``condition``, which may be a coroutine function, returns something true, and return that.

    An AssertionError in it counts as not yet, and so does a file that it reads and that does not exist.

    Raises:
        AssertionError: it was not true within ``timeout`` seconds; the last failure is chained.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        failure: Exception | None = None
        try:
            result = condition()
            if inspect.isawaitable(result):
                result = await result
            if result:
                return result  # type: ignore[return-value]
        except (AssertionError, FileNotFoundError) as exc:
            failure = exc
        if loop.time() >= deadline:
            raise AssertionError(f"not true after {timeout} s") from failure
        await asyncio.sleep(interval)
