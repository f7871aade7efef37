"""What a controller has asked for and its cache does not show yet.

Between a write and the watch event that tells of it, a controller that counts its cache would act twice. It
notes each write here before it makes it, each event takes one note away, and it acts again only when none is
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
class _Notes:
    at: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)  # UIDs


class Expectations:
    """Notes per controller's key."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._notes: dict[Key, _Notes] = {}

    @contextmanager
    def creation(self, key: Key) -> Iterator[None]:
        """Around one create call: its event is expected, unless the call fails."""
        notes = self._note(key)
        notes.creations += 1
        try:
            yield
        except BaseException:
            notes.creations -= 1
            raise

    @contextmanager
    def deletion(self, key: Key, obj: KubeObject) -> Iterator[None]:
        """Around one delete call for ``obj``: its event is expected, unless the call fails."""
        notes = self._note(key)
        notes.deletions.add(meta.uid_of(obj))
        try:
            yield
        except BaseException:
            notes.deletions.discard(meta.uid_of(obj))
            raise

    def observe(self, key: Key, old: KubeObject | None, new: KubeObject | None) -> None:
        """Take away the note that a change, as an informer reports it, answers.

        A deletion counts as seen from the moment it has begun: the object has a deletionTimestamp.
        """
        notes = self._notes.get(key)
        if notes is None:
            return
        if old is None and new is not None and notes.creations > 0:
            notes.creations -= 1
        if new is None and old is not None:
            notes.deletions.discard(meta.uid_of(old))
        elif new is not None and new.metadata.deletion_timestamp:
            notes.deletions.discard(meta.uid_of(new))

    def met(self, key: Key) -> bool:
        """Whether nothing is awaited for the key, or too long already."""
        notes = self._notes.get(key)
        if notes is None:
            return True
        return (notes.creations <= 0 and not notes.deletions) or self._now() - notes.at > self._timeout

    def forget(self, key: Key) -> None:
        """The controller's object is gone."""
        self._notes.pop(key, None)

    def _note(self, key: Key) -> _Notes:
        notes = self._notes.get(key)
        if notes is None or self.met(key):  # old notes, met or timed out, would blur the new ones
            notes = self._notes[key] = _Notes(self._now())
        return notes

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
