"""The apiserver's side: which request is served beside it, and by which process.

Two requests are under way at a time, only one of any user, and of the waiting ones that of the user who has waited
longest is next. The process starts with the first request, which takes a second or two, and ends when it has had
nothing to do for ``IDLE`` seconds. It ends, too, with a request that takes longer than ``DEADLINE``: nothing else
could stop that. The next request starts another.
"""

import asyncio
import logging
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Final

from apimachinery import errors
from apiserver.flowcontrol.seats import Capacity, Level, Pool, Rejected
from apiserver.handlers.http import Request
from apiserver.offload.messages import Answer, Task, framed, receive, send_options
from apiserver.options import ApiserverOptions
from apiserver.request import User

log = logging.getLogger(__name__)

IDLE: Final = 300.0
WAIT: Final = 15.0
"""Seconds that a request waits for its turn."""

DEADLINE: Final = 30.0
"""Seconds that a request may take once it is its turn, the start of the process included."""

_AT_ONCE: Final = Capacity(guaranteed=2, most=2, queue=20, queues=200, per_flow=1)
_SECONDS_EACH: Final = 5  # what a client that is refused had better wait
_LOST: Final = (
    "the process that served the request has ended, and whether the request took effect is unknown; this happens to "
    f"requests that take longer than {DEADLINE:.0f} seconds"
)


class _Worker:
    """One process, and the requests that it has."""

    def __init__(self, process: "subprocess.Popen[bytes]", sock: socket.socket) -> None:
        self._process, self._sock = process, sock
        self._tasks: dict[int, asyncio.Future[Answer]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None and (self._reading is None or not self._reading.done())

    async def open(self) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._sock)
        self._reading = asyncio.create_task(self._read(reader), name="offload-answers")

    async def do(self, task: Task) -> Answer:
        """Raises Timeout if the process ends meanwhile."""
        assert self._writer is not None
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._tasks[task.number] = future
        try:
            self._writer.writelines(framed(task))
            await self._writer.drain()
            return await future
        except ConnectionError:
            raise errors.Timeout(_LOST) from None
        finally:
            del self._tasks[task.number]

    async def end(self) -> None:
        """Kill the process; whatever it still has to do is lost."""
        self._process.kill()
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            await self._reading
        await asyncio.to_thread(self._process.wait)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while (answer := await receive(reader, Answer)) is not None:
            future = self._tasks.get(answer.number)
            if future is not None and not future.done():
                future.set_result(answer)
        for future in self._tasks.values():
            if not future.done():
                future.set_exception(errors.Timeout(_LOST))


def _busy() -> errors.TooManyRequests:
    message = "too many requests with large bodies or results are being served; please try again later"
    return errors.TooManyRequests(message, retry_after=_SECONDS_EACH)


def _start(options: ApiserverOptions) -> _Worker:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([sys.executable, "-m", "apiserver.offload_worker"], stdin=theirs.fileno())
    send_options(ours, options)
    ours.setblocking(False)
    log.info("offload: started process %d", process.pid)
    return _Worker(process, ours)


class Lane:
    """Serves requests in a process beside this one.

    Args:
        options: of this apiserver; the process gets them as well.
    """

    def __init__(self, options: ApiserverOptions) -> None:
        self._options = replace(options, sources=dict(options.sources))  # which can be pickled
        self._level = Level("offload", Pool(), _AT_ONCE)
        self._worker: _Worker | None = None
        self._starting = asyncio.Lock()
        self._numbers = count()
        self._idle_since = 0.0

    async def run(self) -> None:
        """End the process when nothing needs it, and with this task."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(IDLE / 10)
                if self._worker is not None and not self._level.seats and loop.time() - self._idle_since > IDLE:
                    log.info("offload: nothing to do for %.0f s, ending the process", IDLE)
                    await self._end()
        finally:
            await asyncio.shield(self._end())

    async def serve(self, request: Request, user: User) -> None:
        """Answer a request.

        Raises:
            TooManyRequests: the user has too many of them waiting.
            Timeout: it took too long, and whether it had an effect is unknown.
        """
        await self._wait(user.name)
        try:
            answer = await self._done(request, user)
        finally:
            self._idle_since = asyncio.get_running_loop().time()
            self._level.leave(user.name)
        await request.relay(answer.code, answer.headers, answer.body)

    async def _wait(self, user: str) -> None:
        """Return when it is the user's turn. Raises TooManyRequests if that takes too long, or too many wait."""
        try:
            future = self._level.enter(user)
        except Rejected:
            raise _busy() from None
        if future is None:
            return
        try:
            async with asyncio.timeout(WAIT):
                await future
        except TimeoutError:
            self._level.give_up(user, future)
            raise _busy() from None
        except asyncio.CancelledError:
            self._level.give_up(user, future)
            raise

    async def _done(self, request: Request, user: User) -> Answer:
        body, scope = await request.raw_body(), request.scope
        task = Task(
            next(self._numbers), user, request.method, request.path, scope["query_string"], [*scope["headers"]], body
        )
        worker: _Worker | None = None
        try:
            async with asyncio.timeout(DEADLINE):
                worker = await self._started()
                return await worker.do(task)
        except TimeoutError:
            log.warning("%s %s: took longer than %.0f s; its process ends", request.method, request.path, DEADLINE)
            if worker is not None and worker is self._worker:
                await self._end()
            raise errors.Timeout(_LOST) from None

    async def _started(self) -> _Worker:
        async with self._starting:
            if self._worker is not None and not self._worker.is_alive:
                log.warning("offload: the process has ended; starting another")
                await self._end()
            if self._worker is None:
                # in a thread: to start a process takes longer the more memory this one has
                self._worker = await asyncio.to_thread(_start, self._options)
                await self._worker.open()
            return self._worker

    async def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            with suppress(ProcessLookupError):
                await worker.end()
