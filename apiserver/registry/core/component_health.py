"""Where component statuses come from: each read checks the control plane's daemons and etcd.

As in Kubernetes the scheduler and the controller manager are asked on this machine, at their own ports; one that
runs elsewhere shows as unhealthy here.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from http import HTTPStatus
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPSConnection
from typing import Final

from apimachinery import errors
from apimachinery.types.core_v1 import ComponentCondition, ComponentStatus
from apimachinery.types.meta_v1 import ObjectMeta

DAEMONS: Final = (("scheduler", 10259), ("controller-manager", 10257))
_SECONDS: Final = 2.0
_MOST: Final = 4096  # bytes that an answer may have

Check = Callable[[], Awaitable[str]]
"""A component's report of its health; raises OSError, HTTPException or ApiError if it is not well."""


async def statuses(checks: Mapping[str, Check]) -> list[ComponentStatus]:
    """How all of them are, asked at once; in the order of their names."""
    return list(await asyncio.gather(*(_status(name, checks[name]) for name in sorted(checks))))


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
    """Servers on loopback are this machine's own; Kubernetes does not verify them either."""
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
        status, message = "False", getattr(fault, "strerror", None) or str(fault) or "no answer"
    condition = ComponentCondition(type="Healthy", status=status, message=message)
    return ComponentStatus(metadata=ObjectMeta(name=name), conditions=[condition])
