"""Running a command in a container: a duplex stream, and its exit code."""

import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker

from kubelet.runtime import errors
from kubelet.runtime.duplex import Connection, Duplex, connect, take_over
from kubelet.runtime.engine import Engine

_EXIT_POLL = 0.02
"""Seconds between inspections for the exit code: the engine closes the stream a moment before it has it."""


@dataclass(frozen=True)
class ExecOptions:
    command: Sequence[str]
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


class Exec(Duplex):
    """A started command."""

    def __init__(self, engine: Engine, id: str, connection: Connection, tty: bool) -> None:
        super().__init__(connection, tty)
        self._engine, self._id = engine, id

    async def resize(self, width: int, height: int) -> None:
        with suppress(errors.EngineError):  # the command may have ended; the size is not essential
            await self._engine.call(lambda client: client.exec_resize(self._id, height=height, width=width))

    async def exit_code(self) -> int:
        """Once ``output`` has ended."""
        while True:
            inspected = await self._engine.call(lambda client: client.exec_inspect(self._id))
            if not inspected.get("Running") and inspected.get("ExitCode") is not None:
                return int(inspected["ExitCode"])
            await asyncio.sleep(_EXIT_POLL)

    async def kill(self) -> None:
        """End a command that takes too long. Possible where the engine's processes are those of this machine."""
        with suppress(errors.EngineError, ProcessLookupError, PermissionError):
            inspected = await self._engine.call(lambda client: client.exec_inspect(self._id))
            if inspected.get("Running") and _is_in(inspected["Pid"], inspected["ContainerID"]):
                os.kill(inspected["Pid"], signal.SIGKILL)


async def start_exec(engine: Engine, container: str, options: ExecOptions) -> Exec:
    """Start a command. Raises ``errors.EngineError``: ``Conflict`` when the container does not run."""

    def work(client: docker.APIClient) -> tuple[str, socket.socket, bytes]:
        created = client.exec_create(
            container,
            list(options.command),
            stdin=options.stdin,
            stdout=options.stdout,
            stderr=options.stderr,
            tty=options.tty,
        )
        raw = client.exec_start(created["Id"], tty=options.tty, socket=True)
        return created["Id"], *take_over(raw)

    id, connection, ahead = await engine.call(work)
    return Exec(engine, id, await connect(connection, ahead), options.tty)


def _is_in(pid: int, container: str) -> bool:
    """Whether this machine's process of that ID belongs to the container: the engine may be in another PID namespace."""
    try:
        return pid > 0 and container in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


@dataclass(frozen=True)
class CommandResult:
    """Of a command that has ended."""

    code: int
    output: bytes


async def run_command(
    engine: Engine, container: str, command: Sequence[str], limit: int, timeout: float | None
) -> CommandResult:
    """Run a command to its end; the first ``limit`` bytes of its output, both streams together.

    Raises:
        TimeoutError: it did not end in time. It is killed then: the engine would let it run on.
        errors.EngineError: it could not be started.
    """
    async with asyncio.timeout(timeout):
        started = await start_exec(engine, container, ExecOptions(command))
    async with started as running:
        try:
            async with asyncio.timeout(timeout):
                output = bytearray()
                async for _, data in running.output():
                    output += data[: limit - len(output)]
                return CommandResult(await running.exit_code(), bytes(output))
        except TimeoutError:
            await running.kill()
            raise
