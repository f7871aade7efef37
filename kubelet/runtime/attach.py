"""The standard streams of a running container's own process."""

import socket
from contextlib import suppress

import docker

from kubelet.runtime import errors
from kubelet.runtime.duplex import Connection, Duplex, connect, take_over
from kubelet.runtime.engine import Engine
from kubelet.runtime.records import ContainerRecord


class Attached(Duplex):
    """A client's connection to a container. Its output ends with the container."""

    def __init__(self, engine: Engine, record: ContainerRecord, connection: Connection) -> None:
        super().__init__(connection, record.tty)
        self._engine, self._id, self._stdin_once = engine, record.id, record.stdin_once

    def close_stdin(self) -> None:
        """Only where the container's input ends with this client: otherwise the engine would take it for detaching."""
        if self._stdin_once:
            super().close_stdin()

    async def resize(self, width: int, height: int) -> None:
        with suppress(errors.EngineError):  # it may have ended; the size is not essential
            await self._engine.call(lambda client: client.resize(self._id, height=height, width=width))


async def attach(engine: Engine, record: ContainerRecord, *, stdin: bool, stdout: bool, stderr: bool) -> Attached:
    """Attach to a container, from its next output on. Raises ``errors.EngineError``."""
    streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr, "stream": True}
    parameters = {name: int(attached) for name, attached in streams.items()}

    def work(client: docker.APIClient) -> tuple[socket.socket, bytes]:
        return take_over(client.attach_socket(record.id, params=parameters))

    return Attached(engine, record, await connect(*await engine.call(work)))
