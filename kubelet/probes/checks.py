"""One check of a container: a command in it, an HTTP request, a TCP connection, a gRPC health check.

Probes and lifecycle hooks share it. Every check ends within its timeout, and every way in which it can fail is a result:
an ``Outcome`` with Kubernetes' message.
"""

import asyncio
import errno
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from apimachinery.types import core_v1
from component_base.version import GIT_VERSION
from kubelet.probes import grpc_health
from kubelet.runtime import ContainerRecord, Engine
from kubelet.runtime.errors import EngineError
from kubelet.runtime.exec import run_command

_MAX_BODY = 10 * 1024
"""Bytes of a response that are kept for the message."""


@dataclass(frozen=True)
class Outcome:
    ok: bool
    message: str = ""


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
        # A probe checks whatever listens now: connections are not reused, and certificates are not verified.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connector = aiohttp.TCPConnector(ssl=context, force_close=True, limit=0, use_dns_cache=False)
        headers = {"User-Agent": f"kube-probe/{GIT_VERSION.removeprefix('v')}", "Accept": "*/*"}
        # A body is counted as it comes: a thousandth of its size can be all that a compressed one takes.
        self._http = aiohttp.ClientSession(
            connector=connector, headers=headers, auto_decompress=False, skip_auto_headers={"Accept-Encoding"}
        )
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
        scheme, host = (action.scheme or "HTTP").lower(), action.host or target.address
        path = (action.path or "").removeprefix("/")
        where = f"{scheme}://{_bracketed(host)}:{port_of(action.port, target.spec)}/{path}"
        headers = {header.name: header.value for header in action.http_headers or ()}
        assert self._http is not None, "used within its context"
        try:
            async with (
                asyncio.timeout(timeout),
                self._http.get(where, headers=headers, allow_redirects=False) as answer,
            ):
                text = (await answer.content.read(_MAX_BODY)).decode(errors="replace")
        except TimeoutError:
            return Outcome(False, f'Get "{where}": context deadline exceeded')
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return Outcome(False, f'Get "{where}": {_reason(exc)}')
        if 200 <= answer.status < 400:
            return Outcome(True, text)
        return Outcome(False, f"HTTP probe failed with statuscode: {answer.status}")

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
