"""Reading collections: which revision, which part, which objects.

``resourceVersion`` unset means now, "0" whatever the cache has, N not older than N, and with
``resourceVersionMatch=Exact`` as of N. A page after the first is read from etcd at the first one's revision,
which its ``continue`` token carries.
"""

import base64
import binascii
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from apimachinery import codec, errors
from apimachinery.meta import Key
from apiserver.handlers.http import Request
from apiserver.handlers.negotiation import Form
from apiserver.handlers.rendering import Renderer
from apiserver.handlers.selection import Selection
from apiserver.registry.store import Store
from apiserver.storage import Stored

_TOKEN_VERSION: Final = "meta.k8s.io/v1"
_AS_IT_IS_NOW: Final = -1  # the revision in a token that is handed out when the first pages' is gone
_KEEP_SECONDS: Final = 10.0  # a prebuilt list is not served for longer: its revision must not grow too old
_KEPT_BODIES: Final = 64  # namespaces whose lists are kept
_PAGE: Final = 500


class _Token(msgspec.Struct, omit_defaults=True):
    """Where a list goes on: at ``start`` (a storage key below the prefix), as of revision ``rv``."""

    v: str
    rv: int
    start: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    limit: int
    token: _Token | None
    revision: int | None
    """None: now."""
    exact: bool


async def list_objects(request: Request, store: Store[Any], namespace: str, chosen: Selection, out: Renderer) -> None:
    """Answer a list request."""
    wanted = _wanted(request)
    if wanted.token is None and not wanted.exact:
        await _from_cache(request, store, namespace, chosen, out, wanted)
        return
    revision = wanted.token.rv if wanted.token else wanted.revision or 0
    start = wanted.token.start if wanted.token else ""
    try:
        items, next_key, remaining, revision = await _from_etcd(
            store, namespace, chosen, max(revision, 0), wanted.limit, start
        )
    except errors.Expired as gone:
        if wanted.token is None:
            raise
        raise _resumable(start) from gone
    prefix = store.info.storage_prefix(namespace)
    metadata = _metadata(revision, next_key.removeprefix(prefix), remaining if chosen.everything else None)
    await request.respond(200, out.many(items, metadata), out.media_type)


def _wanted(request: Request) -> _Wanted:
    query, limit = request.query, request.integer("limit") or 0
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    if match not in ("", "Exact", "NotOlderThan"):
        raise errors.BadRequest(
            f'resourceVersionMatch: Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        )
    revision = parse_revision(version)
    if token := query.get("continue"):
        if version not in ("", "0") or match:
            raise errors.BadRequest("specifying resource version is not allowed when using continue")
        return _Wanted(limit, _decoded(token), None, exact=False)
    if match and not version:
        raise errors.BadRequest("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match == "Exact" and revision == 0:
        raise errors.BadRequest('resourceVersionMatch "Exact" is forbidden for resourceVersion "0"')
    # a limited list of an old revision has always meant exactly that revision
    exact = match == "Exact" or (bool(limit) and bool(revision) and not match)
    return _Wanted(limit, None, revision, exact)


def _resumable(start: str) -> errors.Expired:
    """What a client is told whose list was compacted between two pages, with a token that goes on all the same."""
    return errors.Expired(
        "The provided continue parameter is too old: the list that it belongs to can no longer be read as it was. Begin "
        "again without it, or take the continue token of this answer for the rest as it is now, which may miss or repeat "
        "what changed in between.",
        continue_=_token(_AS_IT_IS_NOW, start),
    )


def parse_revision(version: str) -> int | None:
    """The number in a ``resourceVersion``; None if there is none."""
    if not version:
        return None
    if not version.isdecimal() or len(version) > 18:
        raise errors.BadRequest(f'invalid resource version "{version}": must be a whole number')
    return int(version)


async def _from_cache(
    request: Request, store: Store[Any], namespace: str, chosen: Selection, out: Renderer, wanted: _Wanted
) -> None:
    cache, prefix = store.cache, store.info.storage_prefix(namespace)
    if wanted.revision is None:
        await cache.wait_current()
    else:
        await cache.wait_until(wanted.revision)
    revision = cache.revision
    limit = wanted.limit if wanted.revision != 0 else 0  # a list "as the cache has it" is given whole
    if chosen.everything and out.is_plain and not limit:
        await _prebuilt(request, store, prefix, wanted.revision or 0)
        return
    items, next_key, remaining = _pick(store, namespace, prefix, chosen, limit)
    metadata = _metadata(revision, next_key.removeprefix(prefix), remaining if chosen.everything else None)
    await request.respond(200, out.many(items, metadata), out.media_type)


def _pick(
    store: Store[Any], namespace: str, prefix: str, chosen: Selection, limit: int
) -> tuple[Sequence[Stored[Any]], str, int]:
    """The first objects that are selected, where the next ones begin, and how many those are."""
    name = chosen.exact("metadata.name")
    if name is not None and (namespace or not store.info.resource.namespaced):
        one = store.cache.get(store.info.storage_key(Key(namespace, name)))
        return ([one] if one is not None and chosen.matches(one.object) else []), "", 0
    if chosen.everything:
        items, remaining = store.cache.items(prefix, limit=limit)
        return items, (items[-1].key + "\0" if remaining else ""), remaining
    found = [one for one in store.cache.items(prefix)[0] if chosen.matches(one.object)]
    if not limit or len(found) <= limit:
        return found, "", 0
    return found[:limit], found[limit - 1].key + "\0", len(found) - limit


async def _from_etcd(
    store: Store[Any], namespace: str, chosen: Selection, revision: int, limit: int, start: str
) -> tuple[list[Stored[Any]], str, int, int]:
    """As ``_pick``, at a revision of the past or (0) at etcd's own, which comes last in the answer."""
    prefix, items = store.info.storage_prefix(namespace), []
    at = prefix + start
    while True:
        page = await store.storage.list_at(prefix, store.info.type, revision, limit or _PAGE, at)
        revision = page.revision
        for i, one in enumerate(page.items):
            if not chosen.matches(one.object):
                continue
            items.append(one)
            if limit and len(items) == limit:
                left = page.remaining + len(page.items) - i - 1
                return items, (one.key + "\0" if left else ""), left, revision
        if not page.next_key:
            return items, "", 0, revision
        at = page.next_key


@dataclass(slots=True)
class _Prebuilt:
    """A whole list's body, and what else was made of it."""

    changed_at: int
    revision: int
    made_at: float
    body: bytes
    memo: dict[Any, Any]


async def _prebuilt(request: Request, store: Store[Any], prefix: str, not_older: int) -> None:
    """A list of everything as JSON: put together once for as long as nothing in it changes."""
    cache, now = store.cache, time.monotonic()
    kept: _Prebuilt | None = store.bodies.get(prefix)
    if (
        kept is None
        or kept.changed_at != cache.changed_at(prefix)
        or kept.revision < not_older
        or now - kept.made_at > _KEEP_SECONDS
    ):
        metadata = _metadata(cache.revision, "", None)
        body = Renderer(store.info, Form()).many(cache.items(prefix)[0], metadata)
        kept = _Prebuilt(cache.changed_at(prefix), cache.revision, now, body, {})
        _keep(store.bodies, prefix, kept)
    await request.respond(200, kept.body, memo=kept.memo)


def _keep(bodies: dict[str, _Prebuilt], prefix: str, body: _Prebuilt) -> None:
    """Keep one body, and let go of those that nobody may be served any more."""
    oldest = body.made_at - _KEEP_SECONDS
    for outdated in [at for at, kept in bodies.items() if kept.made_at < oldest]:
        del bodies[outdated]
    if len(bodies) < _KEPT_BODIES:
        bodies[prefix] = body


def _metadata(revision: int, next_key: str, remaining: int | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if next_key:
        metadata["continue"] = _token(revision, next_key)
        if remaining:
            metadata["remainingItemCount"] = remaining
    return metadata


def _token(revision: int, start: str) -> str:
    return base64.urlsafe_b64encode(codec.encode(_Token(_TOKEN_VERSION, revision, start))).decode().rstrip("=")


def _decoded(token: str) -> _Token:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        decoded = msgspec.json.decode(raw, type=_Token)
    except (binascii.Error, ValueError, msgspec.DecodeError) as fault:
        raise errors.BadRequest(f"continue key is not valid: {fault}") from fault
    known = decoded.rv == _AS_IT_IS_NOW or 0 < decoded.rv < 2**63
    if decoded.v != _TOKEN_VERSION or not known or decoded.start.startswith("/"):
        raise errors.BadRequest("continue key is not valid: it was not made by this server")
    return decoded
