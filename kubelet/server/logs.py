"""GET /containerLogs/{namespace}/{pod}/{container}: a container's log, streamed while it is followed.

Query parameters are those of the pod's ``log`` subresource; the apiserver passes them on.
"""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import StreamingResponse

from apimachinery import errors
from apimachinery.core.pod_logs import PodLogOptions, log_options
from apimachinery.types import core_v1
from component_base.access import error_response
from component_base.websocket import HandshakeError, WebSocket, is_websocket
from kubelet.runtime import ContainerRecord
from kubelet.runtime.errors import EngineError
from kubelet.runtime.logs import LogOptions, read_logs
from kubelet.server.backend import Backend
from kubelet.server.responses import handshake_response

BINARY, BASE64 = "binary.k8s.io", "base64.binary.k8s.io"
"""Subprotocols of a log over WebSocket, as k8s.io/apiserver/pkg/util/wsstream has them; without one it is binary, too."""

_PULL_FAILURES: Final = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
"""What a log says instead of these reasons of a waiting container."""


class LogEndpoint:
    """An ASGI application of its own, since a log over WebSocket is no HTTP response."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        path = request.path_params
        try:
            asked = log_options(request.query_params, path["pod"])
            attempts = self._backend.attempts(path["namespace"], path["pod"], path["container"])
            status = self._backend.container_status(path["namespace"], path["pod"], path["container"])
            record = select(attempts, path["pod"], path["container"], status, previous=asked.previous)
        except errors.ApiError as exc:
            await error_response(exc)(scope, receive, send)
            return
        chunks = _stream(self._backend, record, read_options(asked, time.time()))
        if is_websocket(scope):
            try:
                socket = await WebSocket.accept(scope, (BINARY, BASE64))
            except HandshakeError as exc:
                await handshake_response(exc)(scope, receive, send)
                return
            async with socket:
                await _send(socket, chunks)
        else:
            response = StreamingResponse(chunks, media_type="text/plain; charset=utf-8")
            await response(scope, receive, send)


async def _send(socket: WebSocket, chunks: AsyncGenerator[bytes]) -> None:
    """Until the log ends or the client leaves."""

    async def write() -> None:
        await socket.send(b"")  # tells the client that the stream has begun
        async with aclosing(chunks):
            async for chunk in chunks:
                await socket.send(base64.b64encode(chunk).decode() if socket.subprotocol == BASE64 else chunk)

    async def until_gone() -> None:
        while await socket.receive() is not None:
            continue  # what a client sends is ignored

    tasks = [asyncio.create_task(write()), asyncio.create_task(until_gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def read_options(options: PodLogOptions, now: float) -> LogOptions:
    """What has to be read of a container's log."""
    since = options.since_time if options.since_seconds is None else now - options.since_seconds
    return LogOptions(
        follow=options.follow,
        tail_lines=options.tail_lines,
        since=since,
        timestamps=options.timestamps,
        limit_bytes=options.limit_bytes,
    )


def select(
    attempts: Sequence[ContainerRecord],
    pod: str,
    container: str,
    status: core_v1.ContainerStatus | None,
    *,
    previous: bool,
) -> ContainerRecord:
    """The latest attempt that ever ran, or the one before.

    Without one it says what the container waits for, as the kubelet's ``validateContainerLogStatus`` of Kubernetes does.

    Raises:
        errors.BadRequest: there is no such attempt.
    """
    if previous:
        ended = [r for r in attempts[1:] if r.ended] or [r for r in attempts[:1] if r.ended]
        if not ended or (len(attempts) < 2 and not attempts[0].ended):
            raise errors.BadRequest(f'previous terminated container "{container}" in pod "{pod}" not found')
        return ended[0]
    for record in attempts:
        if not record.never_started:
            return record
    raise errors.BadRequest(f'container "{container}" in pod "{pod}" is {_why_it_has_no_log(status)}')


def _why_it_has_no_log(status: core_v1.ContainerStatus | None) -> str:
    if status is None:
        return "not available"
    if status.state.terminated is not None:
        return "terminated"
    if status.state.waiting is None:
        return "waiting to start - no logs yet"
    reason = status.state.waiting.reason or ""
    return f"waiting to start: {_PULL_FAILURES.get(reason, reason)}"


async def _stream(backend: Backend, record: ContainerRecord, options: LogOptions) -> AsyncGenerator[bytes]:
    def running() -> bool:
        current = backend.runtime.containers.get(record.id)
        return current is not None and current.running

    try:
        async with aclosing(read_logs(backend.runtime.engine, record.id, options, running)) as chunks:
            async for chunk in chunks:
                yield chunk
    except EngineError as exc:  # the response has begun: only its body can report this
        yield f"unable to read the log: {exc}\n".encode()
