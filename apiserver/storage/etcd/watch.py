"""One watch over etcd's whole key space, as a series of revisions.

A message may carry part of a revision (a fragment) or many of them; what comes out is one ``Revision`` at a
time with all of its changes. Watching every key, not a prefix, makes the series dense: each revision that etcd
gives out changes some key, so revision n is followed by n+1, a gap can be seen, and whoever waits for a
revision sees it come whatever it was about. Progress notifications are not asked for and would be ignored.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import grpc.aio
from aetcd.rpc import kv_pb2, rpc_pb2

from apiserver.storage.etcd.errors import Compacted, EtcdError, Unavailable, translate
from apiserver.storage.etcd.requests import text


class Change(NamedTuple):
    """One key's new value, or None where the key was deleted."""

    key: str
    value: bytes | None


class Revision(NamedTuple):
    """All that one transaction changed."""

    number: int
    changes: list[Change]


# Without a leader a member would keep the stream open and silent; so it must end it.
_METADATA = (("hasleader", "true"),)


async def revisions(stub: Any, start: int, timeout: float) -> AsyncGenerator[Revision, None]:
    """What happened from revision ``start`` on, without an end.

    Args:
        timeout: seconds within which etcd must accept the watch.

    Raises:
        Compacted: ``start`` is no longer there.
        Unavailable: the stream ended; watch again from after the last revision received.
    """
    call = stub.Watch(metadata=_METADATA)
    try:
        await _create(call, start, timeout)
        parts: list[Any] = []
        while True:
            response = await _receive(call)
            parts.extend(response.events)
            if not response.fragment:
                for revision in group(parts):
                    yield revision
                parts = []
    except grpc.aio.AioRpcError as exc:
        raise translate(exc.code(), exc.details() or "", writes=False) from exc
    finally:
        call.cancel()


def group(events: list[Any]) -> list[Revision]:
    """Events of one or several revisions, in etcd's order, by revision."""
    grouped: list[Revision] = []
    number = 0
    for event in events:
        kv = event.kv
        if kv.mod_revision != number:
            number = kv.mod_revision
            changes: list[Change] = []
            grouped.append(Revision(number, changes))
        changes.append(Change(text(kv.key), None if event.type == kv_pb2.Event.DELETE else kv.value))
    return grouped


async def _create(call: Any, start: int, timeout: float) -> None:
    # key and range_end of one zero byte each: all keys
    create = rpc_pb2.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=start, fragment=True)
    try:
        async with asyncio.timeout(timeout):
            await call.write(rpc_pb2.WatchRequest(create_request=create))
            response = await _receive(call)
    except TimeoutError:
        raise Unavailable(f"etcd did not accept the watch within {timeout} s") from None
    except asyncio.InvalidStateError as exc:  # grpc.aio's word for writing to a call that has already failed
        raise Unavailable("the watch ended before it began") from exc
    if not response.created:
        raise EtcdError("etcd answered a watch request with something else")


async def _receive(call: Any) -> Any:
    response = await call.read()
    if response is grpc.aio.EOF:  # type: ignore[attr-defined] # not in grpc-stubs
        raise Unavailable("etcd closed the watch")
    if response.compact_revision:
        raise Compacted(f"revisions before {response.compact_revision} are compacted")
    if response.canceled:
        raise Unavailable(f"etcd canceled the watch: {response.cancel_reason}")
    return response
