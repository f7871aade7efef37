"""What the storage facade raises. All are ``ApiError``, so even an uncaught one becomes a proper answer.

    AlreadyExists        the key is taken                          (409)
    StorageConflict      the object is not at the expected revision (409); ``current`` is the present object
    ClaimTaken           a claim belongs to someone else           (409); ``claim`` is its key
    TooLargeResourceVersion  a revision that the cache has not reached in time (504)
    Lagged               a watcher fell too far behind             (410)
and, from apimachinery:
    Expired              a revision that is compacted, or older than the events that are kept
    ServiceUnavailable   etcd could not be reached or has no space; nothing was written
    Timeout              a write whose outcome is unknown: the connection to etcd was lost before it answered
    RequestEntityTooLarge  larger than etcd takes
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apimachinery import errors
from apimachinery.types.meta_v1 import StatusCause, StatusDetails
from apiserver.storage.etcd import errors as etcd
from apiserver.storage.objects import Stored


class AlreadyExists(errors.AlreadyExists):
    def __init__(self, key: str) -> None:
        super().__init__(f'key "{key}" already exists')
        self.key = key


class StorageConflict(errors.Conflict):
    def __init__(self, key: str, current: Stored[Any] | None) -> None:
        state = f"is at revision {current.revision}" if current else "does not exist"
        super().__init__(f'key "{key}" {state}; the object has been modified')
        self.key = key
        self.current = current


class ClaimTaken(errors.Conflict):
    def __init__(self, claim: str) -> None:
        super().__init__(f'"{claim}" is already taken')
        self.claim = claim


class TooLargeResourceVersion(errors.Timeout):
    def __init__(self, revision: int, current: int) -> None:
        message = f"Too large resource version: {revision}, current: {current}"
        cause = StatusCause(reason="ResourceVersionTooLarge", message="Too large resource version")
        super().__init__(message, details=StatusDetails(causes=[cause], retry_after_seconds=1))


class Lagged(errors.Expired):
    """The watcher's buffer is full. Closing its stream is kinder than this error: it may then resume."""

    def __init__(self) -> None:
        super().__init__("the watcher fell too far behind")


def too_old(revision: int, oldest: int) -> errors.Expired:
    return errors.Expired(f"too old resource version: {revision} ({oldest})")


@contextmanager
def as_api_errors() -> Iterator[None]:
    """Turns what etcd's client raises into what this package promises."""
    try:
        yield
    except etcd.Compacted as exc:
        raise errors.Expired("The provided resource version is too old: it has been compacted") from exc
    except etcd.FutureRevision as exc:
        raise errors.Timeout("Too large resource version") from exc
    except etcd.OutcomeUnknown as exc:
        raise errors.Timeout(
            "the connection to etcd was lost before it answered; whether the write took effect is unknown"
        ) from exc
    except (etcd.TooLarge, etcd.TooManyOperations) as exc:
        raise errors.RequestEntityTooLarge("etcd refuses the request: the object is too large") from exc
    except etcd.NoSpace as exc:
        raise errors.ServiceUnavailable("etcd is out of space, only reads work") from exc
    except etcd.Unavailable as exc:
        raise errors.ServiceUnavailable("etcd cannot be reached", retry_after=1) from exc
