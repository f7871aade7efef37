"""/exec and /attach/{namespace}/{pod}/{container}: standard streams over an upgraded connection.

``component_base`` implements the carrier (WebSocket or SPDY); here its streams are joined to the engine's. The result of
a command is a Status: Success, or reason NonZeroExitCode with the code as a cause, where kubectl finds it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.requests import Request

from apimachinery import errors
from apimachinery.types.meta_v1 import ListMeta, Status, StatusCause, StatusDetails
from component_base.access import error_response
from component_base.bounded_log import BoundedLog
from component_base.remotecommand import RemoteCommand, Streams
from component_base.spdy import is_spdy
from component_base.spdy_remotecommand import SpdyRemoteCommand
from component_base.websocket import HandshakeError
from kubelet.runtime import ContainerRecord
from kubelet.runtime.attach import Attached, attach
from kubelet.runtime.duplex import STDERR
from kubelet.runtime.errors import EngineError
from kubelet.runtime.exec import Exec, ExecOptions, start_exec
from kubelet.server.backend import Backend
from kubelet.server.responses import handshake_response

log = logging.getLogger(__name__)
client_log = BoundedLog(log)

Carrier = RemoteCommand | SpdyRemoteCommand
Running = Exec | Attached
Begin = Callable[[Backend, ContainerRecord, Streams, list[str]], Awaitable[Running]]


class CommandEndpoint:
    """An ASGI application of its own: after the upgrade there is no HTTP response."""

    def __init__(self, backend: Backend, begin: Begin) -> None:
        self._backend, self._begin = backend, begin

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        try:
            record, streams, command = self._parse(request)
        except errors.ApiError as exc:
            await error_response(exc)(scope, receive, send)
            return
        carrier: type[RemoteCommand] | type[SpdyRemoteCommand] = SpdyRemoteCommand if is_spdy(scope) else RemoteCommand
        try:
            accepted = await carrier.accept(scope, streams)
        except HandshakeError as exc:
            await handshake_response(exc)(scope, receive, send)
            return
        try:
            async with accepted as connection:
                await self._run(connection, record, command)
        except (ConnectionError, TimeoutError) as exc:
            client_log.info("%s/%s: stream not established: %s", record.pod_namespace, record.pod_name, exc)

    def _parse(self, request: Request) -> tuple[ContainerRecord, Streams, list[str]]:
        """The running container, the streams, and the command. Raises ``errors.ApiError``."""
        path, query = request.path_params, request.query_params
        attempts = self._backend.attempts(path["namespace"], path["pod"], path["container"])
        if not attempts or not attempts[0].running:
            raise errors.BadRequest(f'container "{path["container"]}" in pod "{path["pod"]}" is not running')
        flags = {name: query.get(name, "").lower() in ("1", "true") for name in ("input", "output", "error", "tty")}
        if not (flags["input"] or flags["output"] or flags["error"]):
            raise errors.BadRequest("you must specify at least 1 of stdin, stdout, stderr")
        if self._begin is begin_exec and not query.getlist("command"):
            raise errors.BadRequest("you must specify at least 1 command for the exec")
        tty = attempts[0].tty if self._begin is begin_attach else flags["tty"]
        stderr = flags["error"] and not tty
        return attempts[0], Streams(flags["input"], flags["output"], stderr, flags["tty"]), query.getlist("command")

    async def _run(self, carrier: Carrier, record: ContainerRecord, command: list[str]) -> None:
        try:
            async with await self._begin(self._backend, record, carrier.streams, command) as running:
                status = await _join(carrier, running)
        except EngineError as exc:
            status = _failure("InternalError", f"error executing command in container: {exc}", 500)
        if status is not None:
            await carrier.finish(status)


async def begin_exec(backend: Backend, record: ContainerRecord, streams: Streams, command: list[str]) -> Running:
    options = ExecOptions(command, streams.stdin, streams.stdout, streams.stderr, streams.tty)
    return await start_exec(backend.runtime.engine, record.id, options)


async def begin_attach(backend: Backend, record: ContainerRecord, streams: Streams, command: list[str]) -> Running:
    engine = backend.runtime.engine
    return await attach(engine, record, stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr)


async def _join(carrier: Carrier, running: Running) -> Status | None:
    """Carry the streams both ways until the output ends; None when the client went away before."""
    pumps = [
        asyncio.create_task(_pump_stdin(carrier, running), name="command-stdin"),
        asyncio.create_task(_pump_sizes(carrier, running), name="command-sizes"),
    ]
    output = asyncio.create_task(_pump_output(carrier, running), name="command-output")
    gone = asyncio.create_task(carrier.wait_gone(), name="command-gone")
    try:
        await asyncio.wait([output, gone], return_when=asyncio.FIRST_COMPLETED)
        if not output.done() or not output.result():
            return None
        return exit_status(await running.exit_code() if isinstance(running, Exec) else 0)
    finally:
        tasks = [*pumps, output, gone]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump_stdin(carrier: Carrier, running: Running) -> None:
    if not carrier.streams.stdin:
        return
    while data := await carrier.read_stdin():
        await running.write(data)
    running.close_stdin()


async def _pump_sizes(carrier: Carrier, running: Running) -> None:
    async for size in carrier.sizes():
        await running.resize(size.width, size.height)


async def _pump_output(carrier: Carrier, running: Running) -> bool:
    """False when the client went away."""
    with suppress(ConnectionError):
        async for stream, data in running.output():
            await (carrier.write_stderr(data) if stream == STDERR else carrier.write_stdout(data))
        return True
    return False


def exit_status(code: int) -> Status:
    """A command's result as the error channel reports it."""
    if code == 0:
        return Status(metadata=ListMeta(), status="Success")
    message = f"command terminated with non-zero exit code: exit status {code}"
    status = _failure("NonZeroExitCode", message, None)
    status.details = StatusDetails(causes=[StatusCause(reason="ExitCode", message=str(code))])
    return status


def _failure(reason: str, message: str, code: int | None) -> Status:
    return Status(metadata=ListMeta(), status="Failure", reason=reason, message=message, code=code)
