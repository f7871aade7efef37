"""Watch streams: the events of a resource, as a client's selectors show them.

An object that comes to match is ADDED to that client, one that ceases to is DELETED. Events are encoded once
for all plain watchers; a watcher that falls too far behind is cut off and may resume where it was.
"""

import asyncio
import random
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final, TypeVar

from apimachinery import codec, errors
from apimachinery.core.well_known import INITIAL_EVENTS_END_ANNOTATION
from apimachinery.fields import Path
from apimachinery.meta import Key
from apimachinery.types.objects import KubeObject
from apiserver.handlers import metrics
from apiserver.handlers.http import JSON, Request
from apiserver.handlers.rendering import Renderer
from apiserver.handlers.request_options import refused
from apiserver.registry.resource import Served
from apiserver.registry.selection import Selection
from apiserver.storage import Event, EventType, Lagged, ObjectWatch, Stored
from component_base.http_protocol import Connection

T = TypeVar("T", bound=KubeObject)

_SHORTEST: Final = 1800.0  # s that a watch is kept open when the client does not say; upstream's minimum
_BOOKMARK_EVERY: Final = 60.0
_PIECE: Final = 64 * 1024  # bytes that are handed to the transport at a time
_MATCH: Final = Path("resourceVersionMatch")


class Left(errors.ApiError):
    """The client has disconnected, or the server is stopping."""


class Watch:
    """One client's stream."""

    def __init__(
        self, request: Request, served: Served[KubeObject], namespace: str, selected: Selection, out: Renderer
    ) -> None:
        self._request, self._served, self._namespace = request, served, namespace
        self._selected, self._out = selected, out
        self._selects_all = selected.everything or self._names_one
        self._connection: Connection = request.scope["extensions"]["connection"]
        self._bookmarks = request.flag("allowWatchBookmarks")
        seconds = request.integer("timeoutSeconds")
        self._timeout = float(seconds) if seconds else _SHORTEST * (1 + random.random())

    async def run(self) -> None:
        """Stream until the client disconnects, the time is up or the server stops."""
        if self._out.form.media_type != JSON:
            raise errors.NotAcceptable(f"only the following media types are accepted: {JSON}, {JSON};stream=watch")
        try:
            subscription, initial = await self._open()
        except errors.Expired as fault:  # reported in the stream, where every client looks for it
            await self._begin()
            await self._write(_encoded("ERROR", codec.encode(fault.status())))
            await self._finish()
            return
        with subscription, metrics.watching(self._served.info.resource):
            await self._begin()
            with self._ending(subscription):
                await self._write_all(self._initial(initial, subscription))
                initial = None
                self._request.forget()
                await self._stream(subscription)
                await self._finish()

    # -- transport

    async def _begin(self) -> None:
        await self._request.start(200, [(b"content-type", JSON.encode()), (b"x-peapod-instance", _instance())])

    async def _write(self, data: bytes) -> None:
        """Send whole lines, each of them one event."""
        for at in range(0, len(data), _PIECE):
            await self._request.chunk(data[at : at + _PIECE])

    async def _write_all(self, lines: Iterable[bytes]) -> None:
        """Send lines, many at a time, but not faster than the client takes them: what is not sent yet is shared."""
        piece, size = [], 0
        for line in lines:
            piece.append(line)
            size += len(line)
            if size >= _PIECE:
                await self._write(b"".join(piece))
                piece, size = [], 0
        if piece:
            await self._write(b"".join(piece))

    async def _finish(self) -> None:
        await self._request.chunk(b"", more=False)

    @contextmanager
    def _ending(self, subscription: ObjectWatch[KubeObject]) -> Iterator[None]:
        """End the stream when the client disconnects, or the server stops."""
        self._connection.at_end(lambda: subscription.end(Left("the client disconnected, or the server stops")))
        try:
            yield
        finally:
            self._connection.at_end(None)

    # -- events

    async def _open(self) -> tuple[ObjectWatch[KubeObject], list[Stored[KubeObject]] | None]:
        """The subscription, and the objects that the client gets first (None: none)."""
        cache, query = self._served.cache, self._request.query
        revision = self._request.revision()
        wants_initial = self._request.flag("sendInitialEvents")
        _check_match(query.get("resourceVersionMatch"), decides="sendInitialEvents" in query)
        if revision is None:
            await cache.wait_current()
        else:
            await cache.wait_until(revision)
        if wants_initial or not revision:
            unwanted = "sendInitialEvents" in query and not wants_initial
            return cache.watch(self._prefix, cache.revision), None if unwanted else self._present()
        return cache.watch(self._prefix, revision), None

    @property
    def _prefix(self) -> str:
        """The narrowest that covers the selection: one object's key, a namespace, or all."""
        name, info = self._selected.exact("metadata.name"), self._served.info
        if name is not None and (self._namespace or not info.resource.namespaced):
            return info.storage_key(Key(self._namespace, name))
        return info.storage_prefix(self._namespace)

    @property
    def _names_one(self) -> bool:
        """Whether the selection is one object's name and nothing else, so that the prefix selects it."""
        return self._selected.is_only("metadata.name") and not self._prefix.endswith("/")

    def _present(self) -> list[Stored[KubeObject]]:
        prefix = self._prefix
        if not prefix.endswith("/"):
            stored = self._served.cache.get(prefix)
            return [stored] if stored is not None and self._selected.matches(stored.object) else []
        return [stored for stored in self._served.cache.items(prefix)[0] if self._selected.matches(stored.object)]

    def _initial(
        self, objects: list[Stored[KubeObject]] | None, subscription: ObjectWatch[KubeObject]
    ) -> Iterable[bytes]:
        if objects is None:
            return
        for stored in objects:
            yield _encoded("ADDED", self._out.in_event(stored))
        if self._request.flag("sendInitialEvents") and self._bookmarks:
            yield self._bookmark(subscription.revision, {INITIAL_EVENTS_END_ANNOTATION: "true"})

    async def _stream(self, subscription: ObjectWatch[KubeObject]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        while (left := end - loop.time()) > 0:
            pause = min(left, _BOOKMARK_EVERY) if self._bookmarks else left
            if not await self._deliver(subscription, pause):
                return
            if self._bookmarks:
                await self._write(self._bookmark(subscription.revision))

    async def _deliver(self, subscription: ObjectWatch[KubeObject], seconds: float) -> bool:
        """Pass events on for some seconds; False if the stream ends before that."""
        is_time = False

        def ring() -> None:
            nonlocal is_time
            is_time = True
            subscription.wake()

        # one timer for all of it: one for each batch of events would cost a tenth of delivering it
        timer = asyncio.get_running_loop().call_later(seconds, ring)
        try:
            while not is_time:
                subscription.hand_to(self._hand_over)
                events = await subscription.next()
                await self._write_all(self._lines(events))
        except (Left, Lagged):
            return False  # after Lagged, too: a plain end lets the client resume from what it has
        except errors.ApiError as fault:
            await self._write(_encoded("ERROR", codec.encode(fault.status())))
            return False
        finally:
            timer.cancel()
        return True

    def _hand_over(self, event: Event[KubeObject]) -> bool:
        """Write one event as it happens; False if the client does not keep up, and the event has to wait."""
        if not self._connection.writable or event.size > _PIECE:
            return False
        kind = event.type if self._selects_all else self._kind(event)
        if kind is not None:
            if self._out.is_plain:
                self._connection.write(chunk_of(event, kind))
            else:
                line = _encoded(kind, self._out.in_event(event.carried(kind)))
                self._connection.write(b"%x\r\n%b\r\n" % (len(line), line))
        return True

    def _lines(self, events: Iterable[Event[KubeObject]]) -> Iterable[bytes]:
        for event in events:
            kind = event.type if self._selects_all else self._kind(event)
            if kind is not None:
                yield (
                    line_of(event, kind)
                    if self._out.is_plain
                    else _encoded(kind, self._out.in_event(event.carried(kind)))
                )

    def _kind(self, event: Event[KubeObject]) -> EventType | None:
        """What the event is for this client; None if it does not concern it."""
        after = event.new is not None and self._selected.matches(event.new.object)
        before = event.old is not None and self._selected.matches(event.old.object)
        if after:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else None

    def _bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        metadata: dict[str, object] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        return _encoded("BOOKMARK", self._out.bookmark(metadata))


def _check_match(match: str | None, *, decides: bool) -> None:
    """``resourceVersionMatch`` is required with ``sendInitialEvents`` and forbidden without."""
    if decides and match != "NotOlderThan":
        why = 'sendInitialEvents requires setting resourceVersionMatch to "NotOlderThan"'
    elif match and not decides:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    else:
        return
    raise refused("ListOptions", _MATCH.forbidden(why))


def line_of(event: Event[T], kind: EventType) -> bytes:
    """The event as one line of a JSON stream."""
    return _encoded(kind, event.carried(kind).data)


def chunk_of(event: Event[T], kind: EventType) -> bytes:
    """The line as one chunk of HTTP's chunked encoding, made once for all watchers: most events go out like this."""
    chunk = event.encodings.get(kind)
    if chunk is None:
        line = line_of(event, kind)
        chunk = event.encodings[kind] = b"%x\r\n%b\r\n" % (len(line), line)
    return chunk


def _encoded(kind: str, data: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), data)


@cache
def _instance() -> bytes:
    """Differs after each start, so that clients notice that they watch another server than before."""
    return uuid.uuid4().hex.encode()
