"""The process beside an apiserver: serves the requests that come over its standard input, a socket.

It is the apiserver but for its port and what only one process needs to do. It ends when its parent does.
"""

import asyncio
import functools
import os
import socket
from collections.abc import MutableMapping
from typing import Any, Final

from apimachinery import errors
from apiserver.app import answered
from apiserver.handlers.endpoint import ApiEndpoint
from apiserver.handlers.http import Request
from apiserver.handlers.request_info import asked
from apiserver.offload.messages import Answer, Task, framed, receive, receive_options
from apiserver.options import ApiserverOptions
from apiserver.server import Parts
from component_base.daemon import freeze, run

_NAME: Final = "kube-apiserver-offload"
_READY: Final = 10.0
"""Seconds that a request waits for etcd and the caches."""

_NICE: Final = 5
"""The parent, which everybody waits for, gets the processor first."""


async def serve(parent: socket.socket, options: ApiserverOptions) -> None:
    """Run until the parent closes the socket."""
    parts = Parts(options)
    reader, writer = await asyncio.open_connection(sock=parent)
    serving = asyncio.create_task(_serve(parts, reader, writer), name="requests")
    storage = asyncio.create_task(parts.storage.run(), name="storage")
    modes = asyncio.create_task(parts.modes.run(), name="authorization")
    await asyncio.wait([serving, storage, modes], return_when=asyncio.FIRST_COMPLETED)
    os._exit(0)  # whatever still runs has nobody to answer to


async def _serve(parts: Parts, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    endpoint, running = parts.endpoint(), set[asyncio.Task[None]]()
    ready = asyncio.create_task(_ready(parts), name="ready")
    while (task := await receive(reader, Task)) is not None:
        work = asyncio.create_task(_work(endpoint, ready, task, writer))
        running.add(work)
        work.add_done_callback(running.discard)


async def _ready(parts: Parts) -> None:
    await parts.storage.wait_ready()
    freeze()


async def _work(endpoint: ApiEndpoint, ready: "asyncio.Task[None]", task: Task, writer: asyncio.StreamWriter) -> None:
    answer = Answer(task.number, 500, [], b"")

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.code, answer.headers = message["status"], message["headers"]
        else:
            answer.body += message.get("body", b"")

    async def receive_body() -> dict[str, Any]:
        return {"type": "http.request", "body": task.body, "more_body": False}

    scope = {
        "type": "http",
        "method": task.method,
        "path": task.path,
        "query_string": task.query,
        "headers": task.headers,
        "extensions": {},
    }
    request = Request(scope, receive_body, send)

    async def when_ready() -> None:
        await asyncio.wait([ready], timeout=_READY)
        if not ready.done():
            raise errors.ServiceUnavailable("storage is (re)initializing", retry_after=1)
        await endpoint.serve(request, *asked(request, task.user))

    await answered(request, when_ready())
    writer.writelines(framed(answer))
    await writer.drain()


def main() -> None:
    os.nice(_NICE)
    parent = socket.socket(fileno=0)
    options: ApiserverOptions = receive_options(parent)
    parent.setblocking(False)
    run(_NAME, functools.partial(serve, parent), options)


if __name__ == "__main__":
    main()
