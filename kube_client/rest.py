"""HTTP to the apiserver: one connection pool, one identity, one policy of errors and retries.

Promises: every failed call raises an ``apimachinery.errors.ApiError``; a lost connection, a timeout or an
unreadable answer is ``ServiceUnavailable`` or ``Timeout``. A request is sent again only where that is safe:
reading, a connection that was never made, and 429 or 503 with ``Retry-After``. What keeps failing is for the
caller's own loop (informer, work queue). Which URL stands for what is decided by ``Resource``.
"""

import asyncio
import logging
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from apimachinery import errors
from kube_client import metrics
from kube_client.config import Config

log = logging.getLogger(__name__)

_TIMEOUT = httpx.Timeout(connect=5.0, read=60.0, write=30.0, pool=10.0)
"""Seconds. Reading is generous: a large list may wait for the server's cache."""

_STREAM_TIMEOUT = httpx.Timeout(connect=5.0, read=None, write=30.0, pool=10.0)
"""An idle watch is no failure; TCP keep-alive detects a peer that is gone."""

_ATTEMPTS = 4
_FIRST_DELAY = 0.1
_LONGEST_RETRY_AFTER = 10.0

_KEEPALIVE = 60.0
"""Seconds an idle connection is kept: less than servers keep theirs, so that we rarely send into a close."""

_CREDENTIALS_AGE = 30.0
"""Seconds between checks of the certificate and token files."""


class RestClient:
    """The apiserver as one user. Use as an async context manager."""

    def __init__(self, config: Config, user_agent: str = "peapod") -> None:
        self.config = config
        self.user_agent = user_agent
        self._credentials = _Credentials(config)
        # The connector of our session has the SSL context that counts; the transport's own, which
        # verify=False keeps from loading a bundle of public CAs, is never used.
        transport = AiohttpTransport(client=self._session, verify=False)
        name = config.tls_server_name
        self._extensions = {"sni_hostname": name} if name else {}
        self._http = httpx.AsyncClient(
            base_url=config.server,
            transport=transport,
            headers={"user-agent": user_agent, "accept": "application/json"},
            timeout=_TIMEOUT,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """One call; the body of the answer.

        Raises:
            errors.ApiError: the server refused, or could not be reached.
        """
        headers = {"content-type": content_type} if body is not None else {}
        for attempt in range(_ATTEMPTS):
            request = self._http.build_request(
                method,
                path,
                params=params,
                content=body,
                headers=headers | self._credentials.headers(),
                extensions=self._extensions,
            )
            try:
                response = await self._http.send(request)
            except (httpx.HTTPError, OSError) as exc:
                failure, again = _lost(exc, method)
            else:
                metrics.REQUESTS.labels(response.status_code, method).inc()
                if response.status_code < 300:
                    return response.content
                failure = _refused(response, response.content)
                again = _may_repeat(failure, method)
            if not again or attempt == _ATTEMPTS - 1:
                raise failure
            metrics.RETRIES.labels(method).inc()
            await asyncio.sleep(_delay(failure, attempt))
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A GET whose answer has no known length: its chunks as they arrive. Never repeated.

        Raises:
            errors.ApiError: the server refused, could not be reached, or was lost in the middle.
        """
        headers = {"accept-encoding": "identity"} | self._credentials.headers()
        request = self._http.build_request(
            "GET", path, params=params, headers=headers, timeout=_STREAM_TIMEOUT, extensions=self._extensions
        )
        try:
            response = await self._http.send(request, stream=True)
            try:
                metrics.REQUESTS.labels(response.status_code, "WATCH").inc()
                if response.status_code >= 300:
                    raise _refused(response, await response.aread())
                yield response.aiter_raw()
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.StreamError, OSError) as exc:
            raise _lost(exc, "GET")[0] from exc

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,  # each watch holds a connection; a limit would starve the calls beside them
            ssl=self._credentials.context or True,
            keepalive_timeout=_KEEPALIVE,
            socket_factory=_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
        )


class _Credentials:
    """Token and client certificate; files are checked from time to time, since others renew them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.context: ssl.SSLContext | None = config.ssl_context() if config.server.startswith("https:") else None
        self._token = config.token.read().decode().strip() if config.token else ""
        self._versions = self._read_versions()
        self._checked = time.monotonic()

    def headers(self) -> dict[str, str]:
        if time.monotonic() - self._checked > _CREDENTIALS_AGE:
            self._checked = time.monotonic()
            self.refresh()
        return {"authorization": f"Bearer {self._token}"} if self._token else {}

    def refresh(self) -> None:
        """Load what changed; what cannot be loaded stays as it was, it may be half written."""
        versions = self._read_versions()
        if versions == self._versions:
            return
        try:
            if self._config.token:
                self._token = self._config.token.read().decode().strip()
            if self.context:
                self._config.load_client_certificate(self.context)
        except (OSError, ValueError) as exc:
            log.info("%s: credentials changed but cannot be loaded: %s; will retry", self._config.server, exc)
            return
        self._versions = versions

    def _read_versions(self) -> tuple[tuple[int, int] | None, ...]:
        config = self._config
        materials = (config.client_certificate, config.client_key, config.token)
        return tuple(material.version if material else None for material in materials)


def _socket(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    """A socket that notices within about 30 s that its peer's machine is gone, reading or writing."""
    sock = socket.socket(info[0], info[1], info[2])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _refused(response: httpx.Response, body: bytes) -> errors.ApiError:
    header = response.headers.get("retry-after", "")
    return errors.from_status(response.status_code, body, int(header) if header.isdigit() else 0)


def _lost(exc: Exception, method: str) -> tuple[errors.ApiError, bool]:
    """An exception of the library as one of ours, and whether the request may be sent again."""
    cause = exc.__cause__ or exc
    metrics.REQUESTS.labels("<error>", method).inc()
    if isinstance(cause, aiohttp.ClientSSLError):  # wrong CA or name: repeating cannot help
        return errors.ServiceUnavailable(f"TLS: {cause}"), False
    # httpx-aiohttp calls a reset connection ConnectTimeout, so only aiohttp's own class says
    # whether the request can have reached the server.
    never_sent = isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    again = never_sent or method == "GET"
    text = str(cause) or type(cause).__name__
    if isinstance(exc, httpx.TimeoutException) and isinstance(cause, TimeoutError):
        return errors.Timeout(f"timed out: {text}"), again
    return errors.ServiceUnavailable(f"connection lost: {text}"), again


def _may_repeat(failure: errors.ApiError, method: str) -> bool:
    if isinstance(failure, errors.TooManyRequests | errors.ServiceUnavailable) and failure.retry_after:
        return failure.retry_after <= _LONGEST_RETRY_AFTER
    transient = errors.TooManyRequests | errors.ServiceUnavailable | errors.Timeout
    return method == "GET" and isinstance(failure, transient)


def _delay(failure: errors.ApiError, attempt: int) -> float:
    """Seconds before the next attempt: what the server asked for, otherwise growing, spread by a half."""
    delay = float(failure.retry_after) or _FIRST_DELAY * 3**attempt
    return delay * random.uniform(1.0, 1.5)
