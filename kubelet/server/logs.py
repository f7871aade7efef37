"""GET /containerLogs/{namespace}/{pod}/{container}: a container's log, streamed while it is followed.

Query parameters are those of the pod's ``log`` subresource; the apiserver passes them on.
"""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import StreamingResponse

from apimachinery import errors, meta
from apimachinery.query import boolean
from component_base.websocket import HandshakeError, WebSocket, is_websocket
from kubelet.runtime import ContainerRecord
from kubelet.runtime.errors import EngineError
from kubelet.runtime.logs import LogOptions, read_logs
from kubelet.server.backend import Backend
from kubelet.server.responses import error_response, handshake_response

BINARY, BASE64 = "binary.k8s.io", "base64.binary.k8s.io"
"""Subprotocols of a log over WebSocket, as k8s.io/apiserver/pkg/util/wsstream has them; without one it is binary, too."""


class LogEndpoint:
    """An ASGI application of its own, since a log over WebSocket is no HTTP response."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        path, query = request.path_params, request.query_params
        try:
            options = log_options(query, time.time())
            attempts = self._backend.attempts(path["namespace"], path["pod"], path["container"])
            record = _select(attempts, path["pod"], path["container"], previous=boolean(query.get("previous")))
        except errors.ApiError as exc:
            await error_response(exc)(scope, receive, send)
            return
        chunks = _stream(self._backend, record, options)
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


def log_options(query: QueryParams, now: float) -> LogOptions:
    """Raises ``errors.BadRequest``."""
    since = query.get("sinceTime")
    seconds = _number(query, "sinceSeconds")
    if since and seconds is not None:
        raise errors.BadRequest("at most one of `sinceTime` or `sinceSeconds` may be specified")
    try:
        moment = meta.parse_time(since).timestamp() if since else None
    except ValueError as exc:
        raise errors.BadRequest(f"sinceTime: {exc}") from exc
    return LogOptions(
        follow=boolean(query.get("follow")),
        tail_lines=_number(query, "tailLines"),
        since=now - seconds if seconds is not None else moment,
        timestamps=boolean(query.get("timestamps")),
        limit_bytes=_number(query, "limitBytes"),
    )


def _select(attempts: list[ContainerRecord], pod: str, container: str, *, previous: bool) -> ContainerRecord:
    """The latest attempt that ever ran, or the one before."""
    if previous:
        ended = [r for r in attempts[1:] if r.ended] or [r for r in attempts[:1] if r.ended]
        if not ended or (len(attempts) < 2 and not attempts[0].ended):
            raise errors.BadRequest(f'previous terminated container "{container}" in pod "{pod}" not found')
        return ended[0]
    if not attempts or attempts[0].never_started:
        raise errors.BadRequest(f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating')
    return attempts[0]


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


def _number(query: QueryParams, name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if not text.isdecimal():
        raise errors.BadRequest(f"{name}: {text!r} is not a number")
    return int(text)
