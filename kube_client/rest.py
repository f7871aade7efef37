"""HTTP to the apiserver: one connection pool, one identity, one policy of errors and retries.

Promises: every failed call raises an ``apimachinery.errors.ApiError``; a lost connection, a timeout or an
unreadable answer is ``ServiceUnavailable`` or ``Timeout``. Credentials that change while we run, or the kubeconfig as a
whole, are used from then on. A request is sent again only where that is safe, here and
not by the library: reading, a connection that was never made, and 429 or 503 with ``Retry-After``. What keeps failing is
for the caller's own loop (informer, work queue). Which URL stands for what is decided by ``Resource``.
"""

import asyncio
import logging
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from apimachinery import errors
from apimachinery.core.certificates import Validity
from kube_client import metrics
from kube_client.config import Config
from kube_client.credentials import Credentials
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

_CREDENTIALS_AGE = 10.0
"""Seconds between looks at the files of the configuration, its certificates and its token."""


class RestClient:
    """The apiserver as one user. Use as an async context manager."""

    def __init__(self, config: Config, user_agent: str = "peapod") -> None:
        """Raises ConfigError if a certificate, key or token cannot be read."""
        self.user_agent = user_agent
        self.history = History()
        self._credentials = Credentials.read(config)
        self._checked = time.monotonic()
        self._session: _Session
        self._earlier: list[_Session] = []

    @property
    def config(self) -> Config:
        return self._credentials.config

    @property
    def certificates(self) -> Mapping[Path, Validity]:
        """How long the certificates are valid that this client depends on, by the file that holds them."""
        return self._credentials.certificates

    async def __aenter__(self) -> Self:
        self._session = _Session(self._credentials, self.user_agent)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (*self._earlier, self._session):
            await session.http.close()

    async def refresh(self) -> None:
        """Use credentials that have changed for all later requests; others end with those that they began with."""
        self._checked = time.monotonic()
        if (credentials := self._credentials.renewed()) is not None:
            self._earlier.append(self._session)
            self._credentials, self._session = credentials, _Session(credentials, self.user_agent)
        for session in [session for session in self._earlier if not session.uses]:
            self._earlier.remove(session)
            await session.http.close()

    async def _current(self) -> "_Session":
        if time.monotonic() - self._checked > _CREDENTIALS_AGE:
            await self.refresh()
        return self._session

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
            session = await self._current()
            try:
                with session.used():
                    async with await session.send(method, path, params, headers, _TIMEOUT, body) as response:
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
        session = await self._current()
        with session.used():
            try:
                response = await session.send("GET", path, params, {"accept-encoding": "identity"}, _STREAM_TIMEOUT)
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


class _Session:
    """The connections that are made with the same credentials."""

    def __init__(self, credentials: Credentials, user_agent: str) -> None:
        self._credentials = credentials
        self.uses = 0
        """How many requests are under way."""
        connector = aiohttp.TCPConnector(
            limit=0,  # each watch holds a connection; a limit would starve the calls beside them
            ssl=credentials.context or True,
            keepalive_timeout=_KEEPALIVE,
            socket_factory=_socket,
        )
        self.http = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": user_agent, "accept": "application/json", "accept-encoding": "gzip"},
            middlewares=(_once,),
        )

    @contextmanager
    def used(self) -> Iterator[None]:
        self.uses += 1
        try:
            yield
        finally:
            self.uses -= 1

    async def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,
        body: bytes | None = None,
    ) -> aiohttp.ClientResponse:
        config = self._credentials.config
        return await self.http.request(
            method,
            config.server + path,
            params=params,
            data=body,
            headers=headers | self._credentials.headers(),
            timeout=timeout,
            allow_redirects=False,
            server_hostname=config.tls_server_name,
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
