"""The standard streams of a running container's own process."""

import socket
from contextlib import suppress

import docker

from kubelet.runtime import errors
from kubelet.runtime.duplex import Connection, Duplex, connect, take_over
from kubelet.runtime.engine import Engine
from kubelet.runtime.records import ContainerRecord


class Attached(Duplex):
    """A container that somebody listens to. Its output ends with it."""

    def __init__(self, engine: Engine, record: ContainerRecord, connection: Connection) -> None:
        super().__init__(connection, record.tty)
        self._engine, self._id, self._stdin_once = engine, record.id, record.stdin_once

    def close_stdin(self) -> None:
        """Where the container's input outlives who attaches, the engine would take this for leaving altogether."""
        if self._stdin_once:
            super().close_stdin()

    async def resize(self, width: int, height: int) -> None:
        with suppress(errors.EngineError):  # it may have ended; a size is a courtesy
            await self._engine.call(lambda client: client.resize(self._id, height=height, width=width))


async def attach(engine: Engine, record: ContainerRecord, *, stdin: bool, stdout: bool, stderr: bool) -> Attached:
    """Listen to a container from now on. Raises ``errors.EngineError``."""
    wanted = {"stdin": stdin, "stdout": stdout, "stderr": stderr, "stream": True}
    parameters = {name: int(asked) for name, asked in wanted.items()}

    def work(client: docker.APIClient) -> tuple[socket.socket, bytes]:
        return take_over(client.attach_socket(record.id, params=parameters))

    return Attached(engine, record, await connect(*await engine.call(work)))
