"""Threads for what blocks: one of its own for a stream, a pool for short calls.

They are daemon threads, unlike those of ``concurrent.futures``: neither a stream that never ends nor a call to a hung
engine may keep the process alive.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class ThreadPool:
    """``size`` threads at most, started when first needed."""

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = size, name
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads = 0
        self._idle = 0

    async def run(self, work: Callable[[], T]) -> T:
        """The result of ``work``. Cancelling the caller does not stop the work. Belongs to the event loop."""
        job, result = _job(work)
        if not self._idle and self._threads < self._size:
            self._threads += 1
            self._idle += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._threads}", daemon=True).start()
        self._idle -= 1
        result.add_done_callback(self._on_done)
        self._work.put(job)
        return await asyncio.shield(result)

    def _on_done(self, _: "asyncio.Future[T]") -> None:
        self._idle += 1

    def _serve(self) -> None:
        while True:
            self._work.get()()


async def run_in_thread(work: Callable[[], T], name: str) -> T:
    """The result of ``work``, run in a thread of its own. Cancelling the caller does not stop the thread."""
    job, result = _job(work)
    threading.Thread(target=job, name=name, daemon=True).start()
    return await result


def _job(work: Callable[[], T]) -> "tuple[Callable[[], None], asyncio.Future[T]]":
    """What the thread has to run, and the future of its result."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: Exception | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]  # set whenever there is no error

    def run() -> None:
        value: T | None = None
        error: Exception | None = None
        try:
            value = work()
        except Exception as exc:
            error = exc
        try:
            loop.call_soon_threadsafe(settle, value, error)
        except RuntimeError:  # the loop is closed: nothing waits for the result
            return

    return run, result
