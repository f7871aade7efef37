"""The kubelet killed at one request of its own: a proxy between it and the engine, another between it and the apiserver.

A fault names a request by its first line and body. ``before`` it the peer has not received it; ``after`` it the peer
has carried it out, and the kubelet has not received the response. At that moment the kubelet is killed with SIGKILL,
and the connection cut.
"""

import asyncio
import re
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_METHODS = (b"GET ", b"PUT ", b"POST ", b"PATCH ", b"DELETE ", b"HEAD ")


@dataclass(frozen=True)
class Fault:
    pattern: str
    """A regular expression, of the request as it goes over the wire."""
    when: str = "after"
    nth: int = 1

    def matches(self, request: bytes) -> bool:
        return re.search(self.pattern.encode(), request, re.DOTALL) is not None


class Faults:
    """At most one fault is armed. Counts requests over both proxies."""

    def __init__(self, kill: Callable[[], object]) -> None:
        self._kill, self._lock = kill, threading.Lock()
        self._armed: Fault | None = None
        self._left = 0
        self.struck = threading.Event()

    def arm(self, fault: Fault) -> None:
        with self._lock:
            self._armed, self._left = fault, fault.nth
            self.struck.clear()

    def disarm(self) -> None:
        with self._lock:
            self._armed = None

    def meets(self, request: bytes) -> Fault | None:
        """The armed fault, if it matches this request."""
        with self._lock:
            fault = self._armed
            if fault is None or not fault.matches(request):
                return None
            self._left -= 1
            return None if self._left else fault

    def strike(self, fault: Fault) -> None:
        with self._lock:
            if self._armed is not fault:
                return
            self._armed = None
        self._kill()
        self.struck.set()


class _Connection:
    """Carries bytes both ways; the client sends one request at a time."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._request, self._counted = b"", False
        self._pending: Fault | None = None

    async def carry(self, near: "_Streams", far: "_Streams") -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._one_way(near[0], far[1], self._heard))
            tasks.create_task(self._one_way(far[0], near[1], self._answered))

    def _heard(self, data: bytes) -> None:
        if data.startswith(_METHODS):
            self._request, self._counted, self._pending = b"", False, None
        self._request = (self._request + data)[:65536]
        if self._counted or (fault := self._faults.meets(self._request)) is None:
            return
        self._counted = True
        if fault.when == "before":
            self._strike(fault)
        self._pending = fault

    def _answered(self, data: bytes) -> None:
        if self._pending is not None:
            self._strike(self._pending)

    def _strike(self, fault: Fault) -> None:
        self._faults.strike(fault)
        raise ConnectionAbortedError  # nobody hears more

    async def _one_way(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, take: Callable[[bytes], None]
    ) -> None:
        while data := await source.read(65536):
            take(data)
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
        else:
            target.close()


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextmanager
def between(directory: Path, engine: tuple[Path, Path], apiserver: tuple[int, int], faults: Faults) -> Iterator[None]:
    """Two proxies: from the first of the sockets ``engine`` to the second, from the first of the ports to the second.

    ``directory`` has the certificates; as whom the kubelet comes to the apiserver is the proxy's to say.
    """
    inner = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    inner.load_cert_chain(directory / "kubelet-client.crt", directory / "kubelet-client.key")
    outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    outer.load_cert_chain(directory / "apiserver.crt", directory / "apiserver.key")

    async def carry(near: _Streams, connect: Awaitable[_Streams]) -> None:
        writers = [near[1]]
        try:
            far = await connect
            writers.append(far[1])
            await _Connection(faults).carry(near, far)
        except* (OSError, ssl.SSLError):
            pass
        finally:
            for writer in writers:
                writer.close()

    async def to_engine(*near: *_Streams) -> None:
        with suppress(asyncio.CancelledError):  # a server's callback cannot stand being cancelled
            await carry(near, asyncio.open_unix_connection(engine[1]))

    async def to_apiserver(*near: *_Streams) -> None:
        with suppress(asyncio.CancelledError):
            await carry(near, asyncio.open_connection("127.0.0.1", apiserver[1], ssl=inner))

    async def serve() -> None:
        async with (
            await asyncio.start_unix_server(to_engine, engine[0]),
            await asyncio.start_server(to_apiserver, "127.0.0.1", apiserver[0], ssl=outer),
        ):
            opened.set()
            await stop.wait()

    opened, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))  # in this thread's network namespace
    thread.start()
    opened.wait(5)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        _drop(loop)


def _drop(loop: asyncio.AbstractEventLoop) -> None:
    """End the connections that are still open."""

    async def end() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.1)  # transports close a turn or two after their writers; TLS says good-bye

    loop.run_until_complete(end())
    loop.close()
