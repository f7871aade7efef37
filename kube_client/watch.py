"""A watch stream's bytes as events: lines out of chunks, one decoding a line.

Pure apart from reading the chunks. An ERROR event is raised as the ``ApiError`` that it carries.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from apimachinery import codec, errors
from apimachinery.types.objects import KubeObject

T = TypeVar("T", bound=KubeObject)


class WatchEvent(msgspec.Struct, Generic[T], gc=False):
    """``type`` is ADDED, MODIFIED, DELETED or BOOKMARK; a bookmark's object has a resourceVersion alone."""

    type: str
    object: T


class _RawEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


async def lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Lines without their ends. A last line cut off by a lost connection is dropped: it is no event."""
    parts: list[bytes] = []  # joined once a line is complete: an event may be far larger than a chunk
    async for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        if complete:
            parts.append(complete[0])
            complete[0] = b"".join(parts)
            parts.clear()
            for line in complete:
                if line:
                    yield line
        if rest:
            parts.append(rest)


class Decoder(Generic[T]):
    def __init__(self, type: type[T]) -> None:
        self._type = _event_type(type)

    def decode(self, line: bytes) -> WatchEvent[T]:
        """Raises errors.ApiError for an ERROR event and for anything that is not an event."""
        try:
            event: WatchEvent[T] = codec.decode(line, self._type)
        except errors.BadRequest as exc:  # a Status is not of our type
            raise _error_in(line) or errors.InternalError(f"unreadable watch event: {exc}") from exc
        if event.type == "ERROR":
            raise _error_in(line) or errors.InternalError("the watch failed")
        return event


@cache
def _event_type(type: type[KubeObject]) -> Any:
    """A separate class per type: the codec reads the types of fields from plain classes only."""
    return msgspec.defstruct(f"{type.__name__}WatchEvent", [("object", type)], bases=(WatchEvent,), gc=False)


def _error_in(line: bytes) -> errors.ApiError | None:
    try:
        raw = msgspec.json.decode(line, type=_RawEvent)
        code = msgspec.json.decode(raw.object, type=_Code).code
    except msgspec.DecodeError:
        return None
    return errors.from_status(code, bytes(raw.object)) if raw.type == "ERROR" else None


class _Code(msgspec.Struct):
    code: int = 500
