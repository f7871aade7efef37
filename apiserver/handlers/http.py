"""One HTTP request as the handlers see it, and the ways in which they answer."""

import asyncio
import gzip
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.types import Message, Receive, Scope, Send

from apimachinery import codec, errors
from apimachinery.query import boolean
from apimachinery.types.meta_v1 import Status, StatusDetails
from apiserver.audit import Record

BODY_LIMIT: Final = 3 * 1024 * 1024  # bytes, as the apiserver of Kubernetes has it
BODY_SECONDS: Final = 30.0
"""Seconds in which a body has to come: whoever sends one has a place that others wait for."""

ANSWER_SECONDS: Final = 60.0
"""Seconds in which a client has to read an answer, as in Kubernetes."""

_PIECE: Final = 256 * 1024  # bytes of an answer that wait in the transport
_GZIP_FROM: Final = 128 * 1024  # bytes; below this compressing costs more than it saves
_WARNINGS_LIMIT: Final = 4096  # characters of all warnings of an answer, as in Kubernetes
_WARNING_LIMIT: Final = 256
JSON: Final = "application/json"

_NO_QUERY: Final[Mapping[str, list[str]]] = {}

Headers = list[tuple[bytes, bytes]]
_Start = Callable[[int, Headers], Coroutine[Any, Any, None]]


class Request:
    """A request over ASGI. Everything but the path is parsed when it is first asked for."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.warnings: list[str] = []
        """``Warning`` headers, sent with any answer."""
        self.code = 0
        """The status that was sent; 0 before."""
        self.more_headers: Sequence[tuple[bytes, bytes]] = ()
        """What any answer says besides."""
        self.when_answered: Callable[[], None] = _nothing
        """Called when an answer begins: what is left is up to the client."""
        self.sending: Callable[[int], AbstractContextManager[None]] = _unbounded
        """Entered, with its bytes, while a large answer is sent; may refuse it."""
        self.when_started: Callable[[int], None] = _nothing_of
        """Called with the status when an answer begins, of a stream that will last."""
        self.failure: errors.ApiError | None = None
        """What was answered instead of what was asked for."""
        self.record: Record | None = None
        """Of a request that the audit log records."""
        self.keeps_bodies = False
        """Whether somebody wants to see, afterwards, ``sent_body`` and ``answer`` (its media type and body)."""
        self.sent_body = b""
        self.answer: tuple[str, bytes] = ("", b"")
        self._body: bytes | None = None
        self._headers: Mapping[str, str] | None = None
        self._query: Mapping[str, str] | None = None
        self._query_lists: Mapping[str, list[str]] | None = None

    def forget(self) -> None:
        """Let go of headers and query, of a stream that lasts and needs them no more."""
        self._headers = self._query = self._query_lists = None
        self.more_headers, self.sending = (), _unbounded
        self.scope["headers"] = []

    def drop_headers(self, prefix: bytes | tuple[bytes, ...]) -> None:
        """Let nobody see headers whose names begin so, neither here nor where the request is passed on to."""
        self.scope["headers"] = [header for header in self.scope["headers"] if not header[0].startswith(prefix)]
        self._headers = None

    # not cached_property: in Python 3.11 that takes a lock, which costs more than what is done under it

    @property
    def query(self) -> Mapping[str, str]:
        """Query parameters; the first value of each."""
        if self._query is None:
            self._query = {name: values[0] for name, values in self.query_lists.items()}
        return self._query

    @property
    def query_lists(self) -> Mapping[str, list[str]]:
        if self._query_lists is None:
            self._query_lists = _parsed(self.scope["query_string"])
        return self._query_lists

    @property
    def headers(self) -> Mapping[str, str]:
        if self._headers is None:
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}
        return self._headers

    def flag(self, name: str) -> bool:
        """A boolean parameter."""
        return boolean(self.query.get(name))

    def integer(self, name: str) -> int | None:
        """A whole number of a parameter."""
        value = self.query.get(name)
        if not value:
            return None
        if not value.removeprefix("-").isdecimal() or len(value) > 18:
            raise errors.BadRequest(f"invalid value {value!r} for query parameter {name}: must be a whole number")
        return int(value)

    def revision(self) -> int | None:
        """The number in ``resourceVersion``; None if there is none."""
        version = self.query.get("resourceVersion")
        if not version:
            return None
        if not version.isdecimal() or len(version) > 18:
            raise errors.BadRequest(f'invalid resource version "{version}": must be a whole number')
        return int(version)

    async def body(self) -> bytes:
        """The whole body, uncompressed. Raises RequestEntityTooLarge above ``BODY_LIMIT``."""
        if self._body is None:
            data = await self.raw_body()
            self._body = _inflated(data) if self.headers.get("content-encoding") == "gzip" else data
            if self.keeps_bodies:
                self.sent_body = self._body
        return self._body

    async def raw_body(self) -> bytes:
        """The body as it was sent, which is read only once.

        Raises:
            RequestEntityTooLarge: it is larger than ``BODY_LIMIT``.
            BadRequest: it did not come within ``BODY_SECONDS``.
        """
        try:
            async with asyncio.timeout(BODY_SECONDS):
                data = await self._read_body()
        except TimeoutError:
            raise errors.BadRequest(f"the body was not complete after {BODY_SECONDS:.0f} seconds") from None
        if self.keeps_bodies:
            self.sent_body = data
        return data

    async def _read_body(self) -> bytes:
        declared = self.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > BODY_LIMIT:
            raise _too_large()
        chunks, size = [], 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise errors.BadRequest("the client disconnected before its request was complete")
            chunk = message.get("body", b"")
            chunks.append(chunk)
            size += len(chunk)
            if size > BODY_LIMIT:
                raise _too_large()
            if not message.get("more_body"):
                break
        return b"".join(chunks)

    async def respond(
        self, code: int, body: bytes, content_type: str = JSON, memo: dict[str, bytes] | None = None
    ) -> None:
        """Answer, compressed if the client accepts that and it is worth it.

        Args:
            memo: where the compressed form of a body is kept that will be sent again.
        """
        if self.keeps_bodies:
            self.answer = content_type, body
        headers: Headers = [(b"content-type", content_type.encode())]
        if len(body) >= _GZIP_FROM and "gzip" in self.headers.get("accept-encoding", ""):
            body = _compressed(body, memo)
            headers += [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._answer(self.start, code, headers, body)

    async def relay(self, code: int, headers: Headers, body: bytes) -> None:
        """Pass an answer on unchanged."""
        if self.keeps_bodies:
            self.answer = dict(headers).get(b"content-type", b"").decode("latin-1"), body
        await self._answer(self.start_relayed, code, headers, body)

    async def _answer(self, start: _Start, code: int, headers: Headers, body: bytes) -> None:
        if len(body) > _PIECE:
            await self._answer_in_pieces(start, code, headers, body)
            return
        await start(code, headers)
        await self._send({"type": "http.response.body", "body": body})

    async def _answer_in_pieces(self, start: _Start, code: int, headers: Headers, body: bytes) -> None:
        """Answer no faster than the client reads; one that takes longer than ``ANSWER_SECONDS`` is cut off."""
        with self.sending(len(body)):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await start(code, headers)
                    for at in range(0, len(body), _PIECE):
                        more = at + _PIECE < len(body)
                        await self.chunk(body[at : at + _PIECE], more=more)
            except TimeoutError:
                self.scope["extensions"]["connection"].abort()

    async def start(self, code: int, headers: Headers) -> None:
        """Send the head of an answer."""
        self.code = code
        self.when_answered()
        self.when_started(code)
        if self.warnings:
            headers += [(b"warning", _warning(text)) for text in _bounded(self.warnings)]
        headers.append((b"cache-control", b"no-cache, private"))
        headers += self.more_headers
        await self._send({"type": "http.response.start", "status": code, "headers": headers})

    async def start_relayed(self, code: int, headers: Headers) -> None:
        """Send the head of an upstream's answer unchanged."""
        self.code = code
        self.when_answered()
        self.when_started(code)
        await self._send({"type": "http.response.start", "status": code, "headers": [*headers, *self.more_headers]})

    async def pass_on(self, message: Message) -> None:
        """Send what another application answers in this one's place."""
        if message["type"] == "http.response.start":
            self.code = message["status"]
        await self._send(message)

    async def chunk(self, data: bytes, *, more: bool = True) -> None:
        """Send a part of a streamed answer."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def break_off(self) -> None:
        """Abort an answer that has begun, so that the client sees that it is incomplete."""
        self.scope["extensions"]["connection"].abort()
        while (await self.receive())["type"] != "http.disconnect":
            continue

    async def fail(self, error: errors.ApiError) -> None:
        """Answer with the error's Status."""
        self.failure = error
        headers: Headers = [(b"content-type", JSON.encode())]
        body = codec.encode(error.status())
        if error.retry_after:
            headers.append((b"retry-after", str(error.retry_after).encode()))
        if error.code == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        headers.append((b"content-length", str(len(body)).encode()))
        await self.start(error.code, headers)
        await self._send({"type": "http.response.body", "body": body})


def _nothing() -> None:
    return


def _nothing_of(code: int) -> None:
    return


def _unbounded(size: int) -> AbstractContextManager[None]:
    return nullcontext()


def _parsed(query: bytes) -> Mapping[str, list[str]]:
    if not query:
        return _NO_QUERY
    try:
        return parse_qs(query.decode(), keep_blank_values=True, max_num_fields=1000)
    except ValueError as fault:
        raise errors.BadRequest(
            "the query cannot be read: it must be UTF-8 text and have at most 1000 parameters"
        ) from fault


def success(details: StatusDetails | None = None, code: int | None = None) -> bytes:
    """A Status that reports success."""
    return codec.encode(Status(kind="Status", api_version="v1", status="Success", details=details, code=code))


def _too_large() -> errors.RequestEntityTooLarge:
    return errors.RequestEntityTooLarge(f"Request entity too large: limit is {BODY_LIMIT}")


def _inflated(data: bytes) -> bytes:
    """A compressed body, which may not grow beyond the limit either."""
    try:
        with gzip.GzipFile(fileobj=BytesIO(data)) as file:
            plain = file.read(BODY_LIMIT + 1)
    except (OSError, EOFError) as fault:
        raise errors.BadRequest("the body is not valid gzip") from fault
    if len(plain) > BODY_LIMIT:
        raise _too_large()
    return plain


def _compressed(body: bytes, memo: dict[str, bytes] | None) -> bytes:
    if memo is None:
        return gzip.compress(body, compresslevel=1)
    compressed = memo.get("gzip")
    if compressed is None:
        compressed = memo["gzip"] = gzip.compress(body, compresslevel=1)
    return compressed


def _bounded(warnings: list[str]) -> list[str]:
    """What fits into the head of an answer: clients refuse more. Long warnings are truncated before any is dropped."""
    if sum(map(len, warnings)) > _WARNINGS_LIMIT:
        warnings = [text[:_WARNING_LIMIT] for text in warnings]
    return warnings[: _WARNINGS_LIMIT // _WARNING_LIMIT]


def _warning(text: str) -> bytes:
    """RFC 7234: code 299, no agent, the text quoted; control characters are not allowed in a header."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    quoted = printable.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'.encode()
