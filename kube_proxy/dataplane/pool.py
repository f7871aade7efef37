"""The parent's side of the data plane: starts the workers, sends them what to serve, replaces those that die.

Owns the worker processes and the listening sockets passed to it. Promises that ``serve``, ``set_backends``, ``guard``
and ``stop`` reach every worker in the order of the calls, and a new worker before it accepts a connection; until then
connections wait in the kernel's queue.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from kube_proxy.dataplane.admission import admit, refuse
from kube_proxy.dataplane.affinity import AffinityMemory
from kube_proxy.dataplane.messages import (
    Applied,
    Backend,
    Backends,
    Choices,
    Counters,
    Frames,
    Guard,
    Mark,
    Order,
    Policies,
    PortSettings,
    PortStats,
    Remember,
    Report,
    Serve,
    Stop,
    frame,
)

log = logging.getLogger(__name__)

RESTART_DELAYS = (0.0, 0.2, 1.0, 5.0)
"""Seconds before a worker is started again, by how many in a row died within ``STEADY`` seconds."""
STEADY = 10.0
STOP_PATIENCE = 2.0
_PACKAGES = str(Path(__file__).resolve().parents[2])
"""Where a worker finds this package, whatever the daemon's current directory is."""


@dataclass
class PoolPort:
    """What a new worker must know about a port."""

    number: int
    name: str
    protocol: str
    sock: socket.socket
    settings: PortSettings
    backends: tuple[Backend, ...] = ()
    opened: bool = True
    """Whether the kernel accepts clients; without a backend it refuses them."""
    affinity: AffinityMemory = field(default_factory=AffinityMemory)

    @property
    def exclusive(self) -> bool:
        """Served by one worker only, so that affinity and flows need no sharing."""
        return self.protocol == "UDP" or self.settings.affinity_seconds is not None

    def orders(self) -> Iterator[tuple[Order, socket.socket | None]]:
        """All orders that make a new worker serve the port."""
        yield Serve(self.number, self.name, self.protocol, self.settings), self.sock
        seconds = self.settings.affinity_seconds
        if seconds is not None and (choices := self.affinity.choices(seconds)):
            yield Remember(self.number, choices), None
        yield Backends(self.number, self.backends), None

    def follow_backends(self) -> None:
        """Have the kernel refuse clients while there is no backend, and accept them again before the workers know."""
        if self.opened != bool(self.backends):
            self.opened = bool(self.backends)
            (admit if self.opened else refuse)(self.sock)


OnStats = Callable[[int, PortStats], None]


class WorkerPool:
    def __init__(
        self,
        size: int,
        *,
        on_counters: Callable[[Counters], None] = lambda counters: None,
        on_stats: OnStats = lambda worker, stats: None,
        on_restart: Callable[[int], None] = lambda worker: None,
        log_flags: Sequence[str] = (),
    ) -> None:
        self._slots = [_Slot(index, tuple(log_flags)) for index in range(size)]
        self._on_counters = on_counters
        self._on_stats = on_stats
        self._on_restart = on_restart
        self._ports: dict[int, PoolPort] = {}
        self._policies: Policies | None = None
        self._next_number = 0
        self._version = 0

    @property
    def pids(self) -> list[int]:
        """The workers that run now."""
        return [slot.channel.pid for slot in self._slots if slot.channel]

    @property
    def open_connections(self) -> int:
        return sum(slot.open for slot in self._slots)

    def serve(self, name: str, protocol: str, sock: socket.socket, settings: PortSettings) -> int:
        """Serve a listening socket, which is ours from now on. Returns the port's number for the other calls.

        Its clients wait until the first ``set_backends``.
        """
        sock.setblocking(False)
        number, self._next_number = self._next_number, self._next_number + 1
        port = self._ports[number] = PoolPort(number, name, protocol, sock, settings)
        for slot in self._slots_of(port):
            slot.send(Serve(number, name, protocol, settings), sock)
        return number

    def change(self, number: int, settings: PortSettings) -> None:
        """Serve a port with other settings from now on; open connections stay as they are."""
        port = self._ports[number]
        before = list(self._slots_of(port))
        port.settings = settings
        after = list(self._slots_of(port))
        for slot in before:
            if slot not in after:
                slot.send(Stop(number))
        for slot in after:
            for order, sock in port.orders():
                slot.send(order, sock)

    def set_backends(self, number: int, backends: tuple[Backend, ...]) -> None:
        port = self._ports[number]
        port.backends = backends
        port.follow_backends()
        for slot in self._slots_of(port):
            slot.send(Backends(number, backends))

    def guard(self, policies: Policies | None) -> None:
        """Begin only connections that the policies allow; open ones go on."""
        self._policies = policies
        for slot in self._slots:
            slot.send(Guard(policies))

    def clients_remembered(self, number: int) -> int:
        """How many clients of a port with affinity have a backend."""
        return len(self._ports[number].affinity)

    def stop(self, number: int) -> None:
        """Accept no new connections on the port, and free it."""
        port = self._ports.pop(number)
        for slot in self._slots_of(port):
            slot.send(Stop(number))
        port.sock.close()

    async def settled(self) -> None:
        """Wait until all workers that run now have applied everything sent so far."""
        self._version += 1
        for slot in self._slots:
            slot.send(Mark(self._version))
        for slot in self._slots:
            await slot.reached(self._version)

    async def run(self) -> None:
        """Keep the workers alive until cancelled, then stop them."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for slot in self._slots:
                    tasks.create_task(self._keep(slot), name=f"worker-{slot.index}")
        finally:
            for port in self._ports.values():
                port.sock.close()

    def _slots_of(self, port: PoolPort) -> "Sequence[_Slot]":
        if port.exclusive:
            return (self._slots[port.number % len(self._slots)],)
        return self._slots

    async def _keep(self, slot: "_Slot") -> None:
        short_lived = 0
        while True:
            started = time.monotonic()
            code = await slot.run(self._everything_for(slot), self._on_report)
            short_lived = 0 if time.monotonic() - started > STEADY else min(short_lived + 1, len(RESTART_DELAYS) - 1)
            delay = RESTART_DELAYS[short_lived - 1] if short_lived else 0.0
            self._on_restart(slot.index)
            log.error("worker %d: ended with status %s; starting another in %.1f s", slot.index, code, delay)
            await asyncio.sleep(delay)

    def _everything_for(self, slot: "_Slot") -> Iterator[tuple[Order, socket.socket | None]]:
        yield Guard(self._policies), None
        for port in self._ports.values():
            if slot in self._slots_of(port):
                yield from port.orders()
        yield Mark(self._version), None

    def _on_report(self, slot: "_Slot", report: Counters | Choices | PortStats) -> None:
        match report:
            case Counters():
                self._on_counters(report)
            case PortStats():
                self._on_stats(slot.index, report)
            case Choices(number, choices):
                if port := self._ports.get(number):
                    port.affinity.learn(choices, port.settings.affinity_seconds or 0)


class _Slot:
    """The place of one worker; its process changes."""

    def __init__(self, index: int, log_flags: tuple[str, ...]) -> None:
        self.index = index
        self.channel: _Channel | None = None
        self.open = 0
        self._log_flags = log_flags
        self._applied = 0
        self._changed = asyncio.Event()

    def send(self, order: Order, sock: socket.socket | None = None) -> None:
        if self.channel:  # a worker that is yet to start is sent everything
            self.channel.send(order, sock)

    async def reached(self, version: int) -> None:
        while self._applied < version:
            await self._changed.wait()

    async def run(
        self,
        orders: Iterator[tuple[Order, socket.socket | None]],
        on_report: "Callable[[_Slot, Counters | Choices | PortStats], None]",
    ) -> int | None:
        """Start a worker, send it ``orders``, pass on its reports until it ends; its exit status."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await _start(theirs, self._log_flags)
            self.channel = channel = _Channel(process.pid, ours)
            for order, sock in orders:
                channel.send(order, sock)
            try:
                await channel.read(lambda report: self._on_report(report, on_report))
                return await _end(process)
            finally:
                self.channel = None
                self.open = 0
                channel.close()
                await asyncio.shield(_end(process))

    def _on_report(self, report: Report, pass_on: "Callable[[_Slot, Counters | Choices | PortStats], None]") -> None:
        match report:
            case Applied(version):
                self._applied = max(self._applied, version)
                self._changed.set()
                self._changed = asyncio.Event()
            case Counters():
                self.open = report.open
                pass_on(self, report)
            case _:
                pass_on(self, report)


async def _start(channel: socket.socket, log_flags: Sequence[str]) -> asyncio.subprocess.Process:
    fd = channel.fileno()
    path = os.pathsep.join(filter(None, (_PACKAGES, os.environ.get("PYTHONPATH"))))
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kube_proxy.dataplane.worker", str(fd), "--parent", str(os.getpid()), *log_flags,
        pass_fds=(fd,), stdin=asyncio.subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip


async def _end(process: asyncio.subprocess.Process) -> int | None:
    """The channel is closed, so the worker ends; one that does not is killed."""
    try:
        async with asyncio.timeout(STOP_PATIENCE):
            return await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return await process.wait()


@dataclass
class _Channel:
    """Our end of the socket pair: never blocks, keeps the order, sends descriptors with their frames."""

    pid: int
    sock: socket.socket
    _unsent: deque[tuple[bytes, socket.socket | None]] = field(default_factory=deque)
    _waiting: bool = False

    def __post_init__(self) -> None:
        self.sock.setblocking(False)

    def send(self, order: Order, sock: socket.socket | None) -> None:
        # A copy of the descriptor: the port may be closed before its frame is sent.
        self._unsent.append((frame(order), sock.dup() if sock else None))
        if not self._waiting:
            self._flush()

    async def read(self, on_report: Callable[[Report], None]) -> None:
        """Pass on reports until the worker is gone."""
        loop, frames = asyncio.get_running_loop(), Frames()
        decode = msgspec.msgpack.Decoder(Report).decode
        while True:
            try:
                data = await loop.sock_recv(self.sock, 65536)
            except ConnectionError:
                return
            if not data:
                return
            for body in frames.feed(data):
                on_report(decode(body))

    def close(self) -> None:
        if self._waiting:
            asyncio.get_running_loop().remove_writer(self.sock)
        for _, sock in self._unsent:
            if sock:
                sock.close()
        self._unsent.clear()
        self.sock.close()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._unsent:
                self._send_one()
        except BlockingIOError:
            if not self._waiting:
                loop.add_writer(self.sock, self._flush)
                self._waiting = True
            return
        except OSError:  # the worker is gone; ``read`` notices
            self._unsent.clear()
        if self._waiting:
            loop.remove_writer(self.sock)
            self._waiting = False

    def _send_one(self) -> None:
        data, sock = self._unsent[0]
        sent = socket.send_fds(self.sock, [data], [sock.fileno()]) if sock else self.sock.send(data)
        if sock:
            sock.close()
        if sent < len(data):
            self._unsent[0] = (data[sent:], None)
        else:
            self._unsent.popleft()
