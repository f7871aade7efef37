"""One check of a container: a command in it, an HTTP request, a TCP connection, a gRPC health check.

Probes and lifecycle hooks share it. Every check ends within its timeout, and every way in which it can fail is a result:
an ``Outcome`` with Kubernetes' message.
"""

import asyncio
import errno
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from apimachinery.types import core_v1
from kubelet.probes import grpc_health, http_get
from kubelet.runtime import ContainerRecord, Engine
from kubelet.runtime.errors import EngineError
from kubelet.runtime.exec import run_command

_MAX_BODY = 10 * 1024
"""Bytes of a response that are kept for the message."""


@dataclass(frozen=True)
class Outcome:
    ok: bool
    message: str = ""
    is_warning: bool = False
    """It is a success about which the owner should know."""


@dataclass(frozen=True)
class Target:
    """The container that a probe or hook addresses."""

    record: ContainerRecord
    spec: core_v1.Container
    address: str
    """The pod's."""


class InvalidAction(ValueError):
    """The probe or hook cannot be carried out as specified, for example because no port has that name."""


class Checks:
    """For all pods of the node. An async context manager: it keeps a client."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = http_get.new_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def probe(self, probe: core_v1.Probe, target: Target) -> Outcome:
        timeout = float(probe.timeout_seconds or 1)
        try:
            if probe.exec is not None:
                return await self.command(probe.exec.command or [], target, timeout)
            if probe.http_get is not None:
                return await self.http_get(probe.http_get, target, timeout)
            if probe.tcp_socket is not None:
                host = probe.tcp_socket.host or target.address
                return await _dial(host, port_of(probe.tcp_socket.port, target.spec), timeout)
            if probe.grpc is not None:
                return await self._grpc(probe.grpc, target, timeout)
        except InvalidAction as exc:
            return Outcome(False, str(exc))
        return Outcome(False, "missing probe handler")

    async def command(self, command: list[str], target: Target, timeout: float | None) -> Outcome:
        try:
            done = await run_command(self._engine, target.record.id, command, _MAX_BODY, timeout)
        except TimeoutError:
            return Outcome(False, f'command "{" ".join(command)}" timed out after {timeout:g}s')
        except EngineError as exc:
            return Outcome(False, f"cannot run a command in the container: {exc}")
        return Outcome(done.code == 0, done.output.decode(errors="replace"))

    async def http_get(self, action: core_v1.HTTPGetAction, target: Target, timeout: float) -> Outcome:
        """Raises ``InvalidAction``."""
        port = port_of(action.port, target.spec)
        where = http_get.url_of(action.scheme or "HTTP", action.host or target.address, port, action.path or "")
        assert self._http is not None, "used within its context"
        try:
            async with asyncio.timeout(timeout):
                answer = await http_get.get(self._http, where, http_get.headers_of(action.http_headers), _MAX_BODY)
        except TimeoutError:
            return Outcome(False, f'Get "{where}": context deadline exceeded')
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return Outcome(False, f'Get "{where}": {_reason(exc)}')
        text = answer.body.decode(errors="replace")
        if answer.is_redirect:
            return Outcome(True, f"Probe terminated redirects, Response body: {text}", is_warning=True)
        return (
            Outcome(True, text) if answer.ok else Outcome(False, f"HTTP probe failed with statuscode: {answer.status}")
        )

    async def _grpc(self, action: core_v1.GRPCAction, target: Target, timeout: float) -> Outcome:
        where = f"{target.address}:{action.port}"
        try:
            async with asyncio.timeout(timeout):
                serving = await grpc_health.check(target.address, action.port, action.service or "")
        except TimeoutError:
            return Outcome(False, f"timeout: failed to connect service {where} within {timeout:g}s")
        except (OSError, grpc_health.NoResponse) as exc:
            return Outcome(False, f"error: failed to connect service at {where}: {_reason(exc)}")
        return Outcome(serving, "" if serving else "service unhealthy")


def port_of(port: int | str | None, spec: core_v1.Container) -> int:
    """A number, or the container's port of that name. Raises ``InvalidAction``."""
    number = port
    if isinstance(port, str):
        named = next((candidate.container_port for candidate in spec.ports or () if candidate.name == port), None)
        number = named if named is not None else int(port) if port.isdecimal() else 0
    if not isinstance(number, int) or not 0 < number < 65536:
        raise InvalidAction(f"couldn't find port: {port}")
    return number


async def _dial(host: str, port: int, timeout: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(False, f"dial tcp {_bracketed(host)}:{port}: i/o timeout")
    except OSError as exc:
        return Outcome(False, f"dial tcp {_bracketed(host)}:{port}: {_reason(exc)}")
    writer.close()
    return Outcome(True)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reason(error: Exception) -> str:
    """Without the library's wrapping where the system said why."""
    if isinstance(error, ConnectionRefusedError) or getattr(error, "errno", None) == errno.ECONNREFUSED:
        return "connect: connection refused"
    return str(error) or type(error).__name__
