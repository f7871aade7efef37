"""Whose turn it is to write an object: within one server, writers of a key queue instead of contending.

Contention would cost every writer but one its work at each round, and would starve the slow ones. Writers in other
servers are still met in the transaction.
"""

import asyncio
from collections import deque


class Turns:
    """A queue of writers per key, first come first served. A key without writers costs nothing."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, key: str, seconds: float) -> None:
        """Return when it is the caller's turn, who must ``give`` it back. Raises TimeoutError after ``seconds``."""
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = deque()
            return
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException:
            if not turn.cancelled():  # it came in the moment in which the caller gave up
                self.give(key)
            raise

    def give(self, key: str) -> None:
        """The next one's turn."""
        waiting = self._waiting[key]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[key]
