"""Whether a server's data went back: then etcd was restored from an older copy of them.

Versions count up, over all resources of a server. One that a server has shown and now has yet to reach, or an object that
is at an older version than before, means that the history is another one from there on, in which versions seen before
come again with other contents. An informer of a quiet resource does not notice once the new history has overtaken its own
version; so the first one that notices tells all of this client. An informer also lists again when the server that it
watches has been started anew. (That a list is older than what was seen means nothing: a server may keep it for a while.)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class History:
    def __init__(self) -> None:
        self.rewinds = 0
        """How often it went back."""
        self._listeners: list[Callable[[], object]] = []

    def rewind(self) -> None:
        """It went back."""
        self.rewinds += 1
        for listener in [*self._listeners]:
            listener()

    @contextmanager
    def listener(self, listener: Callable[[], object]) -> Iterator[None]:
        """``listener()`` is called for each rewind within the block."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)
