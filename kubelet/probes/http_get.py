"""A probe's or hook's HTTP request, by the rules of Kubernetes' ``pkg/probe/http``.

Path and headers go out as they are written. Redirects are followed within the host; one that leads elsewhere is the
answer itself. Of the answer as much is read as was asked for, and nothing is kept: no connection, no cookie.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urldefrag, urljoin, urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from apimachinery.types import core_v1
from component_base.version import GIT_VERSION

USER_AGENT: Final = f"kube-probe/{GIT_VERSION.removeprefix('v')}"

MOST_REQUESTS: Final = 10
"""For one answer, the redirects included."""

_REDIRECTS: Final = (301, 302, 303, 307, 308)
_AS_THEY_ARE: Final = "!#$%&'()*+,/:;=?@[]~"


class TooManyRedirects(ValueError):
    pass


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 400

    @property
    def is_redirect(self) -> bool:
        """To somewhere else, which was not followed."""
        return 300 <= self.status < 400


def new_session() -> aiohttp.ClientSession:
    """A probe checks whatever listens now: connections are not reused, and certificates are not verified."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, force_close=True, limit=0, use_dns_cache=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        # A body is counted as it comes: a thousandth of its size can be all that a compressed one takes.
        auto_decompress=False,
        skip_auto_headers={"Accept", "Accept-Encoding", "User-Agent"},
    )


def url_of(scheme: str, host: str, port: int, path: str) -> str:
    """With the path as it is written; only what no URL can contain is escaped."""
    path, _ = urldefrag(path)
    host = f"[{host}]" if ":" in host else host
    return f"{scheme.lower()}://{host}:{port}/{quote(path.removeprefix('/'), safe=_AS_THEY_ARE)}"


def headers_of(headers: Sequence[core_v1.HTTPHeader] | None) -> "CIMultiDict[str]":
    """Each as often as it is given, its name as Go writes it. An empty Accept means none."""
    result = CIMultiDict((_canonical(header.name), header.value) for header in headers or ())
    result.setdefault("User-Agent", USER_AGENT)
    if not result.setdefault("Accept", "*/*"):
        del result["Accept"]
    return result


def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


async def get(session: aiohttp.ClientSession, url: str, headers: "CIMultiDict[str]", limit: int) -> Answer:
    """The answer, with the first ``limit`` bytes of its body.

    Raises:
        TooManyRedirects, aiohttp.ClientError, OSError, ValueError
    """
    first = urlsplit(url).hostname
    for _ in range(MOST_REQUESTS):
        async with session.get(URL(url, encoded=True), headers=headers, allow_redirects=False) as answer:
            location = answer.headers.get("Location", "")
            body = await _read(answer.content, limit)
        url = urljoin(url, location)
        if answer.status not in _REDIRECTS or not location or urlsplit(url).hostname != first:
            return Answer(answer.status, body)
        if urlsplit(location).netloc:
            headers.pop("Host", None)  # it was for the first URL
    raise TooManyRedirects(f"stopped after {MOST_REQUESTS} redirects")


async def _read(content: aiohttp.StreamReader, limit: int) -> bytes:
    body = bytearray()
    while len(body) < limit and (data := await content.read(limit - len(body))):
        body += data
    return bytes(body)
