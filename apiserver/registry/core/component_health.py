"""Where component statuses come from: each read asks the control plane's daemons and etcd how they are.

As in Kubernetes the scheduler and the controller manager are asked on this machine, at their own ports; one that
runs elsewhere shows as unhealthy here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Final

import httpx

from apimachinery import codec, errors
from apimachinery.types.core_v1 import ComponentCondition, ComponentStatus
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.storage import Stored

DAEMONS: Final = (("scheduler", 10259), ("controller-manager", 10257))
_SECONDS: Final = 2.0

Check = Callable[[], Awaitable[str]]
"""What a component says of itself; raises OSError, httpx.HTTPError or ApiError if it is not well."""


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
        # what listens on loopback is this machine's own; Kubernetes does not verify it either
        async with httpx.AsyncClient(verify=False, timeout=_SECONDS, trust_env=False) as client:
            try:
                reply = await client.get(f"https://127.0.0.1:{port}/healthz")
            except (httpx.ConnectError, httpx.RemoteProtocolError):  # without a certificate they serve plain HTTP
                reply = await client.get(f"http://127.0.0.1:{port}/healthz")
            reply.raise_for_status()
            return reply.text

    return ask


async def _status(name: str, check: Check) -> ComponentStatus:
    try:
        status, message = "True", await check()
    except (OSError, httpx.HTTPError, errors.ApiError) as fault:
        status, message = "False", str(fault) or type(fault).__name__
    condition = ComponentCondition(type="Healthy", status=status, message=message)
    return ComponentStatus(metadata=ObjectMeta(name=name), conditions=[condition])
