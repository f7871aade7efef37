"""Where component statuses come from: each read asks the control plane's daemons and etcd how they are.

As in Kubernetes the scheduler and the controller manager are asked on this machine, at their own ports; one that
runs elsewhere shows as unhealthy here.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from http import HTTPStatus
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPSConnection
from itertools import count
from typing import Final

from apimachinery import codec, errors
from apimachinery.types.core_v1 import ComponentCondition, ComponentStatus
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.storage import Stored

DAEMONS: Final = (("scheduler", 10259), ("controller-manager", 10257))
_SECONDS: Final = 2.0
_MOST: Final = 4096  # bytes that an answer may have

Check = Callable[[], Awaitable[str]]
"""What a component says of itself; raises OSError, HTTPException or ApiError if it is not well."""


class ComponentHealth:
    """In the place of a watch cache: what was found when somebody last asked. Nothing of it is stored."""

    is_loaded = True
    revision = 0

    def __init__(self, prefix: str, checks: dict[str, Check]) -> None:
        self._prefix, self._checks = prefix, checks
        self._found: dict[str, Stored[ComponentStatus]] = {}
        self._changes = count()

    async def wait_current(self) -> None:
        """Ask all of them, at once."""
        found = await asyncio.gather(*(_status(name, check) for name, check in self._checks.items()))
        stored = [Stored(f"{self._prefix}-/{one.metadata.name}", one, codec.encode(one), 0) for one in found]
        self._found = {one.key: one for one in sorted(stored, key=lambda one: one.key)}

    async def wait_until(self, revision: int = 0) -> None:
        await self.wait_current()

    def get(self, key: str) -> Stored[ComponentStatus] | None:
        return self._found.get(key)

    def items(self, prefix: str, limit: int = 0) -> tuple[Sequence[Stored[ComponentStatus]], int]:
        """The first of them, and how many are left."""
        found = list(self._found.values())
        shown = found[:limit] if limit else found
        return shown, len(found) - len(shown)

    def changed_at(self, prefix: str) -> int:
        """Never the same: an answer is not to be kept."""
        return next(self._changes)


def checks(etcd: Callable[[], Awaitable[None]]) -> dict[str, Check]:
    """How each component is asked; ``etcd`` raises if it is not well."""

    async def storage() -> str:
        await etcd()
        return "ok"

    return {**{name: _healthz(port) for name, port in DAEMONS}, "etcd-0": storage}


def _healthz(port: int) -> Check:
    async def ask() -> str:
        return await asyncio.to_thread(_ask, port)

    return ask


def _ask(port: int) -> str:
    """What ``/healthz`` says; a daemon without a certificate serves plain HTTP."""
    try:
        return _get(HTTPSConnection("127.0.0.1", port, timeout=_SECONDS, context=_unverified()))
    except (ssl.SSLError, ConnectionResetError, BadStatusLine):
        return _get(HTTPConnection("127.0.0.1", port, timeout=_SECONDS))


def _unverified() -> ssl.SSLContext:
    """What listens on loopback is this machine's own; Kubernetes does not verify it either."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _get(connection: HTTPConnection) -> str:
    with closing(connection):
        connection.request("GET", "/healthz")
        reply = connection.getresponse()
        text = reply.read(_MOST).decode(errors="replace")
    if reply.status != HTTPStatus.OK:
        raise HTTPException(f"GET /healthz of port {connection.port}: {reply.status} {reply.reason}: {text}")
    return text


async def _status(name: str, check: Check) -> ComponentStatus:
    try:
        status, message = "True", await check()
    except (OSError, HTTPException, errors.ApiError) as fault:
        status, message = "False", str(fault) or type(fault).__name__
    condition = ComponentCondition(type="Healthy", status=status, message=message)
    return ComponentStatus(metadata=ObjectMeta(name=name), conditions=[condition])
