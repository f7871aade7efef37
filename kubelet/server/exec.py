"""/exec/{namespace}/{pod}/{container}: a command in a container, its streams over an upgraded connection.

The carrier is ``component_base``'s business; here its streams are joined to the engine's, and the command's end is told
as a Status: Success, or reason NonZeroExitCode with the code as a cause, which is how kubectl learns it.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any

from starlette.requests import Request

from apimachinery import errors
from apimachinery.types.meta_v1 import ListMeta, Status, StatusCause, StatusDetails
from component_base.remotecommand import RemoteCommand, Streams
from component_base.websocket import HandshakeError
from kubelet.runtime.errors import EngineError
from kubelet.runtime.exec import STDERR, Exec, ExecOptions, start_exec
from kubelet.server.backend import Backend
from kubelet.server.responses import error_response

log = logging.getLogger(__name__)


class ExecEndpoint:
    """An ASGI application of its own: after the upgrade there is no HTTP answer."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        try:
            container, options = self._target(request)
        except errors.ApiError as exc:
            await error_response(exc)(scope, receive, send)
            return
        streams = Streams(options.stdin, options.stdout, options.stderr, options.tty)
        try:
            command = await RemoteCommand.accept(scope, streams)
        except HandshakeError as exc:
            response = error_response(errors.BadRequest(str(exc)))
            response.status_code = exc.status
            for name, value in exc.headers:
                response.headers[name.decode()] = value.decode()
            await response(scope, receive, send)
            return
        async with command:
            await self._run(command, container, options)

    def _target(self, request: Request) -> tuple[str, ExecOptions]:
        """The running container's ID and what to run in it. Raises ``errors.ApiError``."""
        path, query = request.path_params, request.query_params
        attempts = self._backend.attempts(path["namespace"], path["pod"], path["container"])
        if not attempts or not attempts[0].running:
            raise errors.BadRequest(f'container "{path["container"]}" in pod "{path["pod"]}" is not running')
        command = query.getlist("command")
        if not command:
            raise errors.BadRequest("you must specify at least 1 command for the exec")
        asked = {name: query.get(name, "").lower() in ("1", "true") for name in ("input", "output", "error", "tty")}
        if not (asked["input"] or asked["output"] or asked["error"]):
            raise errors.BadRequest("you must specify at least 1 of stdin, stdout, stderr")
        stderr = asked["error"] and not asked["tty"]
        return attempts[0].id, ExecOptions(command, asked["input"], asked["output"], stderr, asked["tty"])

    async def _run(self, command: RemoteCommand, container: str, options: ExecOptions) -> None:
        try:
            async with await start_exec(self._backend.runtime.engine, container, options) as running:
                status = await _join(command, running)
        except EngineError as exc:
            status = _failure("InternalError", f"error executing command in container: {exc}", 500)
        if status is not None:
            await command.finish(status)


async def _join(command: RemoteCommand, running: Exec) -> Status | None:
    """Carry the streams both ways until the command ends; None when the client went away before."""
    pumps = [
        asyncio.create_task(_pump_stdin(command, running), name="exec-stdin"),
        asyncio.create_task(_pump_sizes(command, running), name="exec-sizes"),
    ]
    output = asyncio.create_task(_pump_output(command, running), name="exec-output")
    gone = asyncio.create_task(command.wait_gone(), name="exec-gone")
    try:
        await asyncio.wait([output, gone], return_when=asyncio.FIRST_COMPLETED)
        if not output.done():
            return None
        if not output.result():
            return None
        return exit_status(await running.exit_code())
    finally:
        tasks = [*pumps, output, gone]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump_stdin(command: RemoteCommand, running: Exec) -> None:
    if not command.streams.stdin:
        return
    while data := await command.read_stdin():
        await running.write(data)
    running.close_stdin()


async def _pump_sizes(command: RemoteCommand, running: Exec) -> None:
    async for size in command.sizes():
        await running.resize(size.width, size.height)


async def _pump_output(command: RemoteCommand, running: Exec) -> bool:
    """False when the client went away."""
    with suppress(ConnectionError):
        async for stream, data in running.output():
            await (command.write_stderr(data) if stream == STDERR else command.write_stdout(data))
        return True
    return False


def exit_status(code: int) -> Status:
    """A command's end as the error channel tells it."""
    if code == 0:
        return Status(metadata=ListMeta(), status="Success")
    message = f"command terminated with non-zero exit code: exit status {code}"
    status = _failure("NonZeroExitCode", message, None)
    status.details = StatusDetails(causes=[StatusCause(reason="ExitCode", message=str(code))])
    return status


def _failure(reason: str, message: str, code: int | None) -> Status:
    return Status(metadata=ListMeta(), status="Failure", reason=reason, message=message, code=code)
