"""The parent's copy of where clients of a port with affinity were sent, for the next worker that serves the port."""

import time
from collections.abc import Iterable

from kube_proxy.dataplane.messages import Backend, Choice

PRUNE_AT = 1024
"""Entries at which the expired ones are dropped; from then on whenever there are twice as many as were left."""


class AffinityMemory:
    def __init__(self) -> None:
        self._chosen: dict[str, tuple[Backend, float]] = {}
        self._prune_at = PRUNE_AT

    def __len__(self) -> int:
        return len(self._chosen)

    def learn(self, choices: Iterable[Choice], seconds: int) -> None:
        """Store a worker's choices; each is valid for ``seconds``."""
        for client, backend, last_asked in choices:
            if backend is None:
                self._chosen.pop(client, None)
            else:
                self._chosen[client] = (backend, last_asked)
        if len(self._chosen) >= self._prune_at:
            self._forget_expired(seconds)
            self._prune_at = max(PRUNE_AT, 2 * len(self._chosen))

    def choices(self, seconds: int) -> tuple[Choice, ...]:
        """Those that are still valid."""
        self._forget_expired(seconds)
        return tuple((client, backend, last_asked) for client, (backend, last_asked) in self._chosen.items())

    def _forget_expired(self, seconds: int) -> None:
        limit = time.monotonic() - seconds
        self._chosen = {client: entry for client, entry in self._chosen.items() if entry[1] > limit}
