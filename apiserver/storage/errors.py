"""What the storage facade raises. All are ``ApiError``, so even an uncaught one becomes a proper answer.

    AlreadyExists        the key is taken                          (409)
    StorageConflict      the object is not at the expected revision (409); ``current`` is the present object
    ClaimTaken           a claim belongs to someone else           (409); ``claim`` is its key
    Lagged               a watcher fell too far behind             (410)
and, from apimachinery:
    Expired              a revision that is compacted, or older than the events that are kept
    ServiceUnavailable   etcd could not be reached or has no space; nothing was written
    Timeout              a write whose outcome is unknown: the connection to etcd was lost before it answered
    RequestEntityTooLarge  larger than etcd takes
    TooLargeResourceVersion  a revision that the cache has not reached in time
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from apimachinery import errors
from apiserver.storage.etcd import errors as etcd
from apiserver.storage.objects import Stored

OUT_OF_SPACE: Final = (
    "etcd is out of space: objects can be read, and deleted without a grace period, but not written, until an "
    "administrator makes room with kube-etcd-defrag"
)


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
        raise errors.TooLargeResourceVersion("Too large resource version") from exc
    except etcd.OutcomeUnknown as exc:
        raise errors.Timeout(
            "the connection to etcd was lost before it answered; whether the write took effect is unknown"
        ) from exc
    except (etcd.TooLarge, etcd.TooManyOperations) as exc:
        raise errors.RequestEntityTooLarge("etcd refuses the request: the object is too large") from exc
    except etcd.NoSpace as exc:
        raise errors.ServiceUnavailable(OUT_OF_SPACE) from exc
    except etcd.Unavailable as exc:
        raise errors.ServiceUnavailable("etcd cannot be reached", retry_after=1) from exc
