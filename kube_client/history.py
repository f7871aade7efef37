"""How far a server's data have come, and whether they went back: then etcd was restored from an older copy.

Versions count up, over all resources of a server. When it answers a list with an older version than it has shown before,
its history is another one from there on, in which versions seen before come again with other contents. An informer of a
quiet resource does not notice once the new history has overtaken its own version; so the first one that notices tells
all of this client. An informer also lists again when the server that it watches has been started anew.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class History:
    def __init__(self) -> None:
        self.newest = 0
        self.rewinds = 0
        """How often it went back."""
        self._listeners: list[Callable[[], object]] = []

    def saw(self, version: str | None) -> None:
        """The server has shown this version. Those of an aggregated API need not be numbers and are ignored."""
        if version and version.isdigit():
            self.newest = max(self.newest, int(version))

    def rewind(self, version: int) -> None:
        """The server has come back at this version, older than one that it had shown before it was asked."""
        self.newest = version
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
