"""Ownership of fields through writes that are not server-side apply.

The manager that changes or adds a field becomes its only owner; a field that is removed has none. All writes of an
object pass through here, creation included, so the entries are complete.
"""

from dataclasses import replace
from typing import Any

from apimachinery.errors import BadRequest
from apimachinery.managed_fields import entries
from apimachinery.managed_fields.entries import Owner, Owners
from apimachinery.managed_fields.field_set import Fields, difference, tracked, union
from apimachinery.managed_fields.walk import blank, compare
from apimachinery.schema.shapes import UNTYPED, shape_of
from apimachinery.types.meta_v1 import ManagedFieldsEntry


def track_update(
    live: dict[str, Any] | None,
    new: dict[str, Any],
    manager: str,
    *,
    definition: str | None,
    api_version: str,
    time: str,
    subresource: str = "",
    operation: str = "Update",
    reset: tuple[str, ...] = (),
) -> list[ManagedFieldsEntry]:
    """``metadata.managedFields`` of ``new``, a write of ``manager`` over ``live`` (None: a creation).

    Both are builtins; ``new`` is what is going to be stored, with the managedFields that the request sent.
    ``reset`` names the top-level fields that this endpoint does not write (``status`` of the main resource).
    ``definition`` is None for kinds without one.

    Raises:
        BadRequest: the object is nested too deep.
    """
    before = (live or {}).get("metadata", {}).get("managedFields")
    sent = new.get("metadata", {}).get("managedFields")
    owners = _owners(before, sent, from_request=not subresource)
    if live is not None and not owners and not entries.asks_for_reset(sent):
        return []  # not tracked so far; the first apply starts that
    shape = shape_of(definition) if definition else UNTYPED
    old = live if live is not None else (blank(definition) if definition else {})
    try:
        changed, removed = compare(shape, old, new)
    except RecursionError as fault:
        raise BadRequest("the object is nested too deep") from fault
    me = Owner(manager, operation, api_version, subresource, time, tracked(changed, reset))
    return entries.encode(entries.capped(hand_over(owners, me, removed)).values())


def _owners(before: Any, sent: Any, *, from_request: bool) -> Owners:
    """The request's own entries if it has valid ones, so that people can edit them; otherwise the live object's."""
    if from_request and entries.asks_for_reset(sent):
        return {}
    if from_request and sent and sent != before and (owners := entries.decode(sent)):
        return owners
    return entries.decode(before) or {}


def hand_over(owners: Owners, me: Owner, removed: Fields) -> Owners:
    """``me`` becomes the only owner of ``me.fields``, and ``removed`` have none. An entry's time is that of its last gain."""
    after: Owners = {}
    for identity, owner in owners.items():
        rest = difference(difference(owner.fields, me.fields), removed)
        after[identity] = owner if rest == owner.fields else replace(owner, fields=rest)
    mine = difference(me.fields, removed)
    if mine:
        previous = after.get(me.identity)
        after[me.identity] = replace(me, fields=union(previous.fields, mine) if previous else mine)
    return after
