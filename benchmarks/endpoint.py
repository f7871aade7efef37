"""A Kubernetes API to be measured: where it is, credentials, and the calls that prepare a run."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.errors import BenchmarkError

Object = dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """A server and a bearer token: the one proof of identity that every load generator can send."""

    url: str
    token: str
    authority: Path | None = None
    """The CA's certificate; without it the server's certificate is not checked."""
    pid: int | None = None
    """The server's process, where it runs on this machine: its CPU time is then measured too."""

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname:
            raise BenchmarkError(f"{self.url!r} is no https:// address")
        return parts.hostname, parts.port or 443

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority)
        if self.authority is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    @contextmanager
    def session(self) -> Iterator["Session"]:
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(
            base_url=self.url, headers=headers, verify=self.context(), timeout=30, trust_env=False
        ) as client:
            yield Session(client)


class Session:
    """Calls that must succeed. Raises BenchmarkError with the server's own words."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str) -> Object:
        return self.call("GET", path)

    def create(self, path: str, document: Object) -> Object:
        return self.call("POST", path, document)

    def delete(self, path: str) -> None:
        """That there is nothing to delete is fine."""
        answer = self._send("DELETE", path, None)
        if answer.status_code != httpx.codes.NOT_FOUND:
            self._checked(answer)

    def call(self, method: str, path: str, document: Object | None = None) -> Object:
        return self._checked(self._send(method, path, document))

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[str]]:
        """The lines of an endless answer (a watch)."""
        with self._client.stream("GET", path, timeout=httpx.Timeout(30, read=120)) as answer:
            if answer.is_error:
                answer.read()
                self._checked(answer)
            yield answer.iter_lines()

    def _send(self, method: str, path: str, document: Object | None) -> httpx.Response:
        try:
            return self._client.request(method, path, json=document)
        except httpx.HTTPError as error:
            raise BenchmarkError(f"{self._client.base_url} does not answer {method} {path}: {error}") from error

    @staticmethod
    def _checked(answer: httpx.Response) -> Object:
        if answer.is_error:
            asked = f"{answer.request.method} {answer.request.url}"
            raise BenchmarkError(f"{asked}: {answer.status_code} {answer.text[:300]}")
        document: Object = answer.json()
        return document
