"""HTTP to the apiserver: one connection pool, one identity, one policy of errors and retries.

Promises: every failed call raises an ``apimachinery.errors.ApiError``; a lost connection, a timeout or an
unreadable answer is ``ServiceUnavailable`` or ``Timeout``. A request is sent again only where that is safe, here and
not by the library: reading, a connection that was never made, and 429 or 503 with ``Retry-After``. What keeps failing is
for the caller's own loop (informer, work queue). Which URL stands for what is decided by ``Resource``.
"""

import asyncio
import logging
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import aiohttp

from apimachinery import errors
from kube_client import metrics
from kube_client.config import Config
from kube_client.history import History

log = logging.getLogger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(sock_connect=5.0, sock_read=60.0)
"""Seconds, to connect and of silence. Reading is generous: a large list may wait for the server's cache."""

_STREAM_TIMEOUT = aiohttp.ClientTimeout(sock_connect=5.0)
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
        self.history = History()
        self._credentials = _Credentials(config)
        self._http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0,  # each watch holds a connection; a limit would starve the calls beside them
            ssl=self._credentials.context or True,
            keepalive_timeout=_KEEPALIVE,
            socket_factory=_socket,
        )
        self._http = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": self.user_agent, "accept": "application/json", "accept-encoding": "gzip"},
            middlewares=(_once,),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

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
            try:
                async with await self._send(method, path, params, headers, _TIMEOUT, body) as response:
                    content = await response.read()
            except Exception as exc:  # also what the library does not document: it must not end a caller's loop
                failure, again = _lost(exc, method)
            else:
                metrics.REQUESTS.labels(response.status, method).inc()
                if response.status < 300:
                    return content
                failure = _refused(response, content)
                again = _may_repeat(failure, method)
            if not again or attempt == _ATTEMPTS - 1:
                raise failure
            metrics.RETRIES.labels(method).inc()
            await asyncio.sleep(_delay(failure, attempt))
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        opened: Callable[[str], object] = lambda server: None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A GET whose answer has no known length: its chunks as they arrive. Never repeated.

        Args:
            opened: is told which apiserver answers: a value that differs after each start of it; empty if it does not say.

        Raises:
            errors.ApiError: the server refused, could not be reached, or was lost in the middle.
        """
        try:
            response = await self._send("GET", path, params, {"accept-encoding": "identity"}, _STREAM_TIMEOUT)
        except Exception as exc:
            raise _lost(exc, "GET")[0] from exc
        metrics.REQUESTS.labels(response.status, "WATCH").inc()
        try:
            if response.status >= 300:
                raise _refused(response, b"".join([chunk async for chunk in _chunks(response)]))
            opened(response.headers.get("x-peapod-instance", ""))
            yield _chunks(response)
        finally:
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,
        body: bytes | None = None,
    ) -> aiohttp.ClientResponse:
        return await self._http.request(
            method,
            self.config.server + path,
            params=params,
            data=body,
            headers=headers | self._credentials.headers(),
            timeout=timeout,
            allow_redirects=False,
            server_hostname=self.config.tls_server_name,
        )


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except Exception as exc:
        raise _lost(exc, "GET")[0] from exc


class _ConnectionLost(aiohttp.ClientError):
    """The connection ended after the request was sent, at least in part."""


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keeps aiohttp from sending a GET, PUT or DELETE again by itself, which it does for these two errors."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise _ConnectionLost(str(exc) or type(exc).__name__) from exc


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


def _refused(response: aiohttp.ClientResponse, body: bytes) -> errors.ApiError:
    header = response.headers.get("retry-after", "")
    return errors.from_status(response.status, body, int(header) if header.isdigit() else 0)


def _lost(exc: Exception, method: str) -> tuple[errors.ApiError, bool]:
    """An exception of the library as one of ours, and whether the request may be sent again."""
    metrics.REQUESTS.labels("<error>", method).inc()
    if not isinstance(exc, aiohttp.ClientError | OSError):
        log.warning("%s: a request failed in an unforeseen way", method, exc_info=exc)
    if isinstance(exc, aiohttp.ClientSSLError):  # wrong CA or name: repeating cannot help
        return errors.ServiceUnavailable(f"TLS: {exc}"), False
    never_sent = isinstance(exc, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    again = never_sent or method == "GET"
    text = str(exc) or type(exc).__name__
    if isinstance(exc, TimeoutError):
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
