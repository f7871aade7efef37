"""Etcd's revision now, for consistent reads: one call to etcd serves all who asked before it began."""

import asyncio
from collections.abc import Awaitable, Callable

from apiserver.storage.etcd.errors import EtcdError


class CurrentRevision:
    """Asks while ``run`` runs. An answer is never older than the question: a question during a call gets the answer
    of the next call, but a call that fails has failed for all."""

    def __init__(self, ask: Callable[[], Awaitable[int]]) -> None:
        self._ask = ask
        self._asked = asyncio.Event()
        self._waiting: list[asyncio.Future[int]] = []

    async def get(self) -> int:
        """The revision of the last change acknowledged to anyone before this call.

        Raises:
            EtcdError: as the call to etcd did.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._asked.set()
        return await future

    async def run(self) -> None:
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                await self._answer()
        finally:
            for future in self._waiting:
                future.cancel()

    async def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            revision = await self._ask()
        except EtcdError as exc:
            # who asked meanwhile has waited as well: another failure would take as long again
            late, self._waiting = self._waiting, []
            waiting += late
            for future in waiting:
                if not future.done():
                    future.set_exception(exc)
        else:
            for future in waiting:
                if not future.done():
                    future.set_result(revision)
        finally:  # nobody may wait forever
            for future in waiting:
                future.cancel()
