"""Named checks and their endpoints, printed as Kubernetes prints them.

``/healthz`` runs every check, ``/livez`` those that a restart would fix, ``/readyz`` those that decide whether to send
traffic here. ``?verbose`` lists them, ``?exclude=NAME`` leaves one out, ``/readyz/NAME`` runs only one. The reason of a
failure is logged, and shown only by that check's own endpoint.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[None] | None]
"""Raises when something is wrong."""

Endpoint = Literal["healthz", "livez", "readyz"]
_ENDPOINTS: tuple[Endpoint, ...] = ("healthz", "livez", "readyz")

CHECK_TIMEOUT = 5.0
"""Seconds after which a check that hangs counts as failed; probes give up soon after."""


class Unhealthy(Exception):
    """For checks to raise that have no more specific error."""


@dataclass(frozen=True)
class _NamedCheck:
    name: str
    function: Check
    endpoints: frozenset[Endpoint]


class Health:
    """The checks of one daemon. ``ping`` is always among them."""

    def __init__(self) -> None:
        self._checks: list[_NamedCheck] = []
        self.add("ping", lambda: None)

    def add(self, name: str, check: Check, *, live: bool = True, ready: bool = True) -> None:
        """Add a check to /healthz, with ``live`` also to /livez and with ``ready`` also to /readyz."""
        endpoints: set[Endpoint] = {"healthz"}
        endpoints |= {"livez"} if live else set()
        endpoints |= {"readyz"} if ready else set()
        self._checks.append(_NamedCheck(name, check, frozenset(endpoints)))

    async def failures(self, endpoint: Endpoint, exclude: Sequence[str] = ()) -> dict[str, str]:
        """The checks that fail: name -> reason."""
        checks = [check for check in self._checks if endpoint in check.endpoints and check.name not in exclude]
        reasons = await asyncio.gather(*(_failure(check.function) for check in checks))
        return {check.name: reason for check, reason in zip(checks, reasons, strict=True) if reason is not None}

    async def report(
        self, endpoint: Endpoint, *, verbose: bool = False, exclude: Sequence[str] = ()
    ) -> tuple[int, str]:
        """HTTP status and text of one endpoint."""
        failures = await self.failures(endpoint, exclude)
        for name, reason in failures.items():
            log.info("%s: check %s failed: %s", endpoint, name, reason)
        if not failures and not verbose:
            return 200, "ok"
        lines = [
            _line(check.name, check.name in failures, check.name in exclude)
            for check in self._checks
            if endpoint in check.endpoints
        ]
        known = {check.name for check in self._checks}
        if unknown := [name for name in exclude if name not in known]:
            names = ",".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        lines.append(f"{endpoint} check {'failed' if failures else 'passed'}")
        return (500 if failures else 200), "\n".join(lines) + "\n"

    async def report_one(self, endpoint: Endpoint, name: str) -> tuple[int, str]:
        """HTTP status and text of one check."""
        for check in self._checks:
            if check.name == name and endpoint in check.endpoints:
                reason = await _failure(check.function)
                return (200, "ok") if reason is None else (500, f"internal server error: {reason}")
        return 404, "404 page not found\n"

    def routes(self) -> list[BaseRoute]:
        """The endpoints, for a Starlette or FastAPI application."""
        routes: list[BaseRoute] = []
        for endpoint in _ENDPOINTS:
            routes.append(Route(f"/{endpoint}", self._all(endpoint), include_in_schema=False))
            routes.append(Route(f"/{endpoint}/{{name:path}}", self._single(endpoint), include_in_schema=False))
        return routes

    def _all(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            query = request.query_params
            verbose = "verbose" in query and query["verbose"].lower() not in ("0", "false")
            return _text(*await self.report(endpoint, verbose=verbose, exclude=query.getlist("exclude")))

        return serve

    def _single(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            return _text(*await self.report_one(endpoint, request.path_params["name"]))

        return serve


def _line(name: str, failed: bool, excluded: bool) -> str:
    if failed:
        return f"[-]{name} failed: reason withheld"
    return f"[+]{name} excluded: ok" if excluded else f"[+]{name} ok"


async def _failure(check: Check) -> str | None:
    """Why a check fails, or None."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            result = check()
            if inspect.isawaitable(result):
                await result
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT:.0f} s"
    except Exception as exc:
        return str(exc) or type(exc).__name__
    return None


def _text(status: int, text: str) -> Response:
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-cache, private"}
    return PlainTextResponse(text, status, headers)
