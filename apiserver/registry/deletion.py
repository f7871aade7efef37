"""What a delete does to an object: it is removed at once, or marked and kept for a grace period and for finalizers."""

from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from apimachinery import meta
from apimachinery.types.meta_v1 import DeleteOptions
from apimachinery.types.objects import KubeObject
from apiserver.registry.metadata import FOREGROUND, ORPHAN
from apiserver.registry.strategy import Deletion, Strategy
from apiserver.storage import Stored

T = TypeVar("T", bound=KubeObject)

_POLICIES: Final = {"Orphan": ORPHAN, "Foreground": FOREGROUND, "Background": ""}


def finalizer_of(options: DeleteOptions) -> str | None:
    """The finalizer that stands for the propagation policy: empty for none, None where the object's own may stay."""
    if options.orphan_dependents is not None:
        return ORPHAN if options.orphan_dependents else ""
    return _POLICIES[options.propagation_policy] if options.propagation_policy is not None else None


def failed_precondition(current: Stored[T], options: DeleteOptions) -> str | None:
    """Why the object is not the one that the options mean; None if it is."""
    preconditions = options.preconditions
    if preconditions is None:
        return None
    uid, version = current.object.metadata.uid, preconditions.resource_version
    if preconditions.uid and preconditions.uid != uid:
        return f"Precondition failed: UID in precondition: {preconditions.uid}, UID in object meta: {uid}"
    if version and version != str(current.revision):
        return (
            f"Precondition failed: ResourceVersion in precondition: {version}, "
            f"ResourceVersion in object meta: {current.revision}"
        )
    return None


def hastens(obj: KubeObject, deletion: Deletion) -> bool:
    """Whether this delete asks for less time than the one before it."""
    granted = obj.metadata.deletion_grace_period_seconds
    return deletion.graceful and granted is not None and deletion.grace_seconds < granted


def mark(obj: T, strategy: Strategy[T], deletion: Deletion, finalizer: str | None) -> None:
    """Write into the object that it is being deleted, and until when it has time."""
    metadata = obj.metadata
    is_first = metadata.deletion_timestamp is None
    grace, granted = deletion.grace_seconds if deletion.graceful else 0, metadata.deletion_grace_period_seconds or 0
    if is_first or grace < granted:
        asked_at = datetime.now(UTC)
        if metadata.deletion_timestamp is not None:  # a shorter time counts from the first delete, too
            asked_at = meta.parse_time(metadata.deletion_timestamp) - timedelta(seconds=granted)
        metadata.deletion_timestamp = meta.format_time(asked_at + timedelta(seconds=grace))
        metadata.deletion_grace_period_seconds = grace
    if is_first and strategy.counts_generations:
        metadata.generation = (metadata.generation or 0) + 1
    if finalizer is not None:  # the policies exclude each other
        others = [name for name in metadata.finalizers or () if name not in (ORPHAN, FOREGROUND)]
        metadata.finalizers = [*others, *([finalizer] if finalizer else [])] or None
    strategy.mark_deleted(obj)
