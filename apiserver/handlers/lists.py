"""Reading collections: which revision, which part and which objects.

``resourceVersion`` unset means now, "0" whatever the cache has, N not older than N, and with
``resourceVersionMatch=Exact`` as of N. A page after the first is read from etcd at the first one's revision,
which its ``continue`` token carries.
"""

import asyncio
import base64
import binascii
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import msgspec

from apimachinery import codec, errors
from apimachinery.fields import Path
from apimachinery.types.objects import KubeObject
from apiserver.handlers.http import Request
from apiserver.handlers.request_options import refused
from apiserver.handlers.selection import selection
from apiserver.handlers.verbs import Call
from apiserver.registry.resource import Listing, ListRequest, Served
from apiserver.registry.selection import Selection

_TOKEN_VERSION: Final = "meta.k8s.io/v1"
_LATEST: Final = -1  # the revision in a token that is handed out when that of the first pages is compacted
_KEEP_SECONDS: Final = 10.0  # a prebuilt list is not served for longer: its revision must not grow too old
_MAX_BODIES: Final = 64  # namespaces of a resource whose lists are kept


class _Token(msgspec.Struct, omit_defaults=True):
    """Where a list continues: at ``start`` (a storage key below the prefix), as of revision ``rv``."""

    v: str
    rv: int
    start: str


@dataclass(slots=True)
class _Prebuilt:
    """The body of a whole list, and its compressed form."""

    changed_at: int
    revision: int
    made_at: float
    body: bytes
    memo: dict[str, bytes] = field(default_factory=dict)


class Lists:
    """Answers list requests. A list of everything as JSON is put together once while nothing in it changes."""

    def __init__(self) -> None:
        self._prebuilt: defaultdict[Served[KubeObject], dict[str, _Prebuilt]] = defaultdict(dict)

    async def answer(self, call: Call) -> None:
        request, served, namespace = call.request, call.served, call.attributes.namespace
        selected, list_request, is_continued = selection(request, served.info), *_parsed(request)
        if not list_request.exact:
            await served.wait(list_request.revision)
            changed_at, is_limited = (
                served.changed_at(namespace),
                bool(list_request.limit) and list_request.revision != 0,
            )
            if changed_at is not None and selected.everything and call.out.is_plain and not is_limited:
                prebuilt = await self._whole(call, selected, changed_at, list_request.revision or 0)
                await request.respond(200, prebuilt.body, memo=prebuilt.memo)
                return
        try:
            listing = await served.list(namespace, selected, list_request)
        except errors.Expired as gone:
            if not is_continued:
                raise
            raise errors.Expired(_TOO_OLD, continue_=_encoded(_LATEST, list_request.start)) from gone
        body = call.out.many(listing.items, _metadata(listing, counts=selected.everything))
        await request.respond(200, body, call.out.form.media_type)

    async def _whole(self, call: Call, everything: Selection, changed_at: int, not_older: int) -> _Prebuilt:
        bodies, namespace, now = self._prebuilt[call.served], call.attributes.namespace, time.monotonic()
        prebuilt = bodies.get(namespace)
        if (
            prebuilt is not None
            and prebuilt.changed_at == changed_at
            and prebuilt.revision >= not_older
            and now - prebuilt.made_at <= _KEEP_SECONDS
        ):
            return prebuilt
        listing = await call.served.list(namespace, everything, ListRequest())
        body = call.out.many(listing.items, _metadata(listing, counts=True))
        prebuilt = _Prebuilt(changed_at, listing.revision, now, body)
        if namespace in bodies or len(bodies) < _MAX_BODIES:
            bodies[namespace] = prebuilt
            asyncio.get_running_loop().call_later(_KEEP_SECONDS, _drop, bodies, namespace, now)
        return prebuilt


def _drop(bodies: dict[str, _Prebuilt], namespace: str, made_at: float) -> None:
    """Forget a body unless a newer one has taken its place."""
    body = bodies.get(namespace)
    if body is not None and body.made_at <= made_at:
        del bodies[namespace]


_TOO_OLD: Final = (
    "The provided continue parameter is too old: the list that it belongs to can no longer be read as it was. Begin "
    "again without it, or take the continue token of this answer for the rest as it is now, which may miss or repeat "
    "what changed in between."
)


def _parsed(request: Request) -> tuple[ListRequest, bool]:
    """What is asked for, and whether a ``continue`` token asks for it. Raises BadRequest."""
    query, limit = request.query, max(request.integer("limit") or 0, 0)
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    _check_match(match, version, is_continued="continue" in query and bool(query["continue"]))
    revision = request.revision()
    if text := query.get("continue"):
        if version not in ("", "0"):
            raise errors.BadRequest("specifying resource version is not allowed when using continue")
        token = _decoded(text)
        return ListRequest(limit, max(token.rv, 0), exact=True, start=token.start), True
    # a limited list of an old revision has always meant exactly that revision
    exact = match == "Exact" or (bool(limit) and bool(revision) and not match)
    return ListRequest(limit, revision, exact), False


def _check_match(match: str, version: str, *, is_continued: bool) -> None:
    """Raises Invalid."""
    path, faults = Path("resourceVersionMatch"), []
    if not match:
        return
    if not version:
        faults.append(path.forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if is_continued:
        faults.append(path.forbidden("resourceVersionMatch is forbidden when continue is provided"))
    if match not in ("Exact", "NotOlderThan"):
        faults.append(path.not_supported(match, ("Exact", "NotOlderThan", "")))
    if match == "Exact" and version == "0":
        faults.append(path.forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if faults:
        raise refused("ListOptions", *faults)


def _metadata(listing: Listing[KubeObject], *, counts: bool) -> dict[str, object]:
    """The list's own; ``counts``: whether the number of those that remain is known to clients."""
    metadata: dict[str, object] = {"resourceVersion": str(listing.revision)} if listing.revision else {}
    if listing.next_key:
        metadata["continue"] = _encoded(listing.revision, listing.next_key)
        if listing.remaining and counts:
            metadata["remainingItemCount"] = listing.remaining
    return metadata


def _encoded(revision: int, start: str) -> str:
    return base64.urlsafe_b64encode(codec.encode(_Token(_TOKEN_VERSION, revision, start))).decode().rstrip("=")


def _decoded(token: str) -> _Token:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        decoded = msgspec.json.decode(raw, type=_Token)
    except (binascii.Error, ValueError, msgspec.DecodeError) as fault:
        raise errors.BadRequest("continue key is not valid: it was not made by this server") from fault
    known = decoded.rv == _LATEST or 0 < decoded.rv < 2**63
    if decoded.v != _TOKEN_VERSION or not known or decoded.start.startswith("/"):
        raise errors.BadRequest("continue key is not valid: it was not made by this server")
    return decoded
