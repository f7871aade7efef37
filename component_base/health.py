"""Named checks and the endpoints that show them, as Kubernetes prints them.

``/healthz`` runs every check, ``/livez`` those that a restart would mend, ``/readyz`` those that decide whether
to send traffic here. ``?verbose`` lists them, ``?exclude=NAME`` leaves one out, ``/readyz/NAME`` runs one alone.
Why a check failed is logged, and shown to whoever asks for that check alone.
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
"""Seconds after which a check that hangs counts as failed; probes themselves give up soon after."""


class Unhealthy(Exception):
    """What a check raises when it has nothing better."""


@dataclass(frozen=True)
class _Named:
    name: str
    check: Check
    endpoints: frozenset[Endpoint]


class Health:
    """The checks of one daemon. ``ping`` is always among them."""

    def __init__(self) -> None:
        self._checks: list[_Named] = []
        self.add("ping", lambda: None)

    def add(self, name: str, check: Check, *, live: bool = True, ready: bool = True) -> None:
        """Add a check to /healthz, and to /livez and /readyz as asked."""
        endpoints: set[Endpoint] = {"healthz"}
        endpoints |= {"livez"} if live else set()
        endpoints |= {"readyz"} if ready else set()
        self._checks.append(_Named(name, check, frozenset(endpoints)))

    async def failures(self, endpoint: Endpoint, exclude: Sequence[str] = ()) -> dict[str, str]:
        """Name of each check that fails -> why."""
        wanted = [one for one in self._checks if endpoint in one.endpoints and one.name not in exclude]
        reasons = await asyncio.gather(*(_run(one.check) for one in wanted))
        return {one.name: why for one, why in zip(wanted, reasons, strict=True) if why is not None}

    async def report(
        self, endpoint: Endpoint, *, verbose: bool = False, exclude: Sequence[str] = ()
    ) -> tuple[int, str]:
        """HTTP status and text of one endpoint."""
        failures = await self.failures(endpoint, exclude)
        for name, why in failures.items():
            log.info("%s: check %s failed: %s", endpoint, name, why)
        if not failures and not verbose:
            return 200, "ok"
        lines = [
            _line(one.name, one.name in failures, one.name in exclude)
            for one in self._checks
            if endpoint in one.endpoints
        ]
        known = {one.name for one in self._checks}
        if unknown := [name for name in exclude if name not in known]:
            names = ",".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        lines.append(f"{endpoint} check {'failed' if failures else 'passed'}")
        return (500 if failures else 200), "\n".join(lines) + "\n"

    async def report_one(self, endpoint: Endpoint, name: str) -> tuple[int, str]:
        """HTTP status and text of one check alone."""
        for one in self._checks:
            if one.name == name and endpoint in one.endpoints:
                why = await _run(one.check)
                return (200, "ok") if why is None else (500, f"internal server error: {why}")
        return 404, "404 page not found\n"

    def routes(self) -> list[BaseRoute]:
        """The endpoints, for a Starlette or FastAPI application."""
        found: list[BaseRoute] = []
        for endpoint in _ENDPOINTS:
            found.append(Route(f"/{endpoint}", self._all(endpoint), include_in_schema=False))
            found.append(Route(f"/{endpoint}/{{name:path}}", self._single(endpoint), include_in_schema=False))
        return found

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


async def _run(check: Check) -> str | None:
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
