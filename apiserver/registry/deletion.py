"""Deleting: at once, or by saying so and waiting for a grace period and for finalizers."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.meta_v1 import DeleteOptions
from apimachinery.types.objects import KubeObject
from apiserver.registry.store import Store
from apiserver.registry.strategy import Deletion
from apiserver.request import Attributes
from apiserver.storage import StorageConflict, Stored

T = TypeVar("T", bound=KubeObject)

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
_POLICIES: Final = {"Orphan": ORPHAN, "Foreground": FOREGROUND, "Background": None}
_ATTEMPTS: Final = 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """The object as the delete left it, and whether it is gone from storage."""

    stored: Stored[Any]
    gone: bool


async def delete(store: Store[T], attributes: Attributes, key: Key, options: DeleteOptions) -> Outcome:
    """Delete one object, or set it on its way. Repeating it is safe.

    Raises:
        NotFound: there is no such object.
        Conflict: the uid or resourceVersion is not the one that the options name.
        BadRequest: the options contradict themselves or name an unknown policy.
    """
    finalizer = _propagation(options)
    current, is_fresh = await store.first_look(key, attributes)
    for _ in range(_ATTEMPTS):
        if current is None:
            raise store.not_found(key)
        try:
            _check_preconditions(store, key, current, options)
            await store.admission.admit(attributes, None, current.object)
            await store.admission.validate(attributes, None, current.object)
            outcome = await _step(store, attributes, current, options, finalizer)
        except StorageConflict as conflict:
            current, is_fresh = conflict.current, True
        except errors.ApiError:
            if is_fresh:
                raise
            current, is_fresh = await store.freshest(key), True
        else:
            if is_fresh or outcome.stored is not current or outcome.gone:
                return outcome
            # nothing was to be done, judging by a cache that may be behind
            current, is_fresh = await store.freshest(key), True
    raise store.conflict(key, "it changes too fast to be deleted; try again")


def _propagation(options: DeleteOptions) -> str | None:
    """The finalizer that stands for the propagation policy, if one does."""
    policy = options.propagation_policy
    if policy is not None and options.orphan_dependents is not None:
        raise errors.BadRequest("orphanDependents and propagationPolicy cannot be both set")
    if options.orphan_dependents:
        return ORPHAN
    if policy is None:
        return None
    if policy not in _POLICIES:
        allowed = ", ".join(f'"{one}"' for one in _POLICIES)
        raise errors.BadRequest(f'propagationPolicy: Unsupported value: "{policy}": supported values: {allowed}')
    return _POLICIES[policy]


def _check_preconditions(store: Store[T], key: Key, current: Stored[T], options: DeleteOptions) -> None:
    wanted = options.preconditions
    if wanted is None:
        return
    uid = current.object.metadata.uid
    if wanted.uid and wanted.uid != uid:
        raise store.conflict(key, f"Precondition failed: UID in precondition: {wanted.uid}, UID in object meta: {uid}")
    if wanted.resource_version and wanted.resource_version != str(current.revision):
        raise store.conflict(
            key,
            f"Precondition failed: ResourceVersion in precondition: {wanted.resource_version}, "
            f"ResourceVersion in object meta: {current.revision}",
        )


async def _step(
    store: Store[T], attributes: Attributes, current: Stored[T], options: DeleteOptions, finalizer: str | None
) -> Outcome:
    deletion = store.info.strategy.delete(current.object, options.grace_period_seconds)
    if current.object.metadata.deletion_timestamp and not _hastens(current.object, deletion):
        return Outcome(current, gone=False)
    obj = codec.copy(current.object)
    _mark(store, obj, deletion, finalizer)
    if store.is_finished(obj):
        if not attributes.dry_run:
            await store.remove(current)
        return Outcome(current, gone=True)
    return Outcome(await store.write(attributes, obj, current), gone=False)


def _hastens(obj: KubeObject, deletion: Deletion) -> bool:
    """Whether this delete asks for less time than the one before it."""
    granted = obj.metadata.deletion_grace_period_seconds
    return deletion.graceful and granted is not None and deletion.grace_seconds < granted


def _mark(store: Store[T], obj: T, deletion: Deletion, finalizer: str | None) -> None:
    metadata = obj.metadata
    first = metadata.deletion_timestamp is None
    grace, granted = deletion.grace_seconds if deletion.graceful else 0, metadata.deletion_grace_period_seconds or 0
    if first or grace < granted:
        asked_at = datetime.now(UTC)
        if metadata.deletion_timestamp is not None:  # a shorter time counts from the first delete, too
            asked_at = meta.parse_time(metadata.deletion_timestamp) - timedelta(seconds=granted)
        metadata.deletion_timestamp = meta.format_time(asked_at + timedelta(seconds=grace))
        metadata.deletion_grace_period_seconds = grace
    if first and store.info.strategy.counts_generations:
        metadata.generation = (metadata.generation or 0) + 1
    if finalizer and finalizer not in (metadata.finalizers or ()):
        metadata.finalizers = [*(metadata.finalizers or ()), finalizer]
    store.info.strategy.mark_deleted(obj)
