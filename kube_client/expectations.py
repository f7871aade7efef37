"""The writes of a controller that its cache does not show yet.

Between a write and the watch event that reports it, a controller that counts its cache would act twice. It
records each write here before it makes it, each event removes one record, and it acts again only when none is
left, or after ``TIMEOUT``: an event may have been missed, and level beats edge.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types.objects import KubeObject

TIMEOUT = 300.0
"""Seconds, as in Kubernetes."""


@dataclass
class _Pending:
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)  # UIDs


class Expectations:
    """Records per controlling object's key."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._pending: dict[Key, _Pending] = {}

    @contextmanager
    def creation(self, key: Key) -> Iterator[None]:
        """Around one create call: its event is expected, unless the call fails."""
        pending = self._record(key)
        pending.creations += 1
        try:
            yield
        except BaseException:
            pending.creations -= 1
            raise

    @contextmanager
    def deletion(self, key: Key, obj: KubeObject) -> Iterator[None]:
        """Around one delete call for ``obj``: its event is expected, unless the call fails."""
        pending = self._record(key)
        pending.deletions.add(meta.uid_of(obj))
        try:
            yield
        except BaseException:
            pending.deletions.discard(meta.uid_of(obj))
            raise

    def observe(self, key: Key, old: KubeObject | None, new: KubeObject | None) -> None:
        """Remove the record that a change, as an informer reports it, fulfils.

        A deletion counts from the moment it has begun: the object has a deletionTimestamp.
        """
        pending = self._pending.get(key)
        if pending is None:
            return
        if old is None and new is not None and pending.creations > 0:
            pending.creations -= 1
        if new is None and old is not None:
            pending.deletions.discard(meta.uid_of(old))
        elif new is not None and new.metadata.deletion_timestamp:
            pending.deletions.discard(meta.uid_of(new))

    def met(self, key: Key) -> bool:
        """Whether no event is expected for the key any more, or has been for too long."""
        pending = self._pending.get(key)
        if pending is None:
            return True
        return (pending.creations <= 0 and not pending.deletions) or self._now() - pending.since > self._timeout

    def forget(self, key: Key) -> None:
        """The controller's object is gone."""
        self._pending.pop(key, None)

    def _record(self, key: Key) -> _Pending:
        pending = self._pending.get(key)
        if pending is None or self.met(key):  # old records, met or timed out, would blur the new ones
            pending = self._pending[key] = _Pending(self._now())
        return pending

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
