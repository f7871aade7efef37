"""Which backend a client gets: a random one, or with ClientIP affinity the one that it had. Pure but for the dice.

A backend that network policies keep from the client is no choice.

An affinity entry outlives its backend's absence (a service scaled to nothing and back keeps its clients where
they were) but is replaced by the next choice, ends ``affinity_seconds`` after its last use, and is dropped when
its backend could not be reached. It outlives the process if ``remember`` returns what ``take_changes`` returned.
"""

import random
from collections.abc import Callable, Collection, Iterable, Sequence

from kube_proxy.dataplane.guard import Gate
from kube_proxy.dataplane.messages import Backend, Choice


class Balancer:
    def __init__(
        self,
        affinity_seconds: int | None = None,
        dice: Callable[[], float] = random.random,
        gate: Gate | None = None,
        protocol: str = "TCP",
    ) -> None:
        self.affinity_seconds = affinity_seconds
        self._gate = gate or Gate()
        self._protocol = protocol
        self._dice = dice
        self._backends: Sequence[Backend] = ()
        self._chosen: dict[str, tuple[Backend, float]] = {}
        self._changed: set[str] = set()

    @property
    def backends(self) -> Sequence[Backend]:
        return self._backends

    def replace(self, backends: Sequence[Backend]) -> None:
        self._backends = backends

    def pick(self, client: str, now: float, tried: Collection[Backend] = ()) -> Backend | None:
        """A backend for a client's new connection, or None when all were tried or denied or there is none.

        ``now`` is monotonic, in seconds.
        """
        backend, judge = self._pick(client, now, tried), self._gate.judge
        if judge is None or backend is None or judge.allows(self._protocol, client, backend):
            return backend
        self.failed(client, backend)
        return self._pick(client, now, {*tried, *judge.denied(self._protocol, client, self._backends)})

    def _pick(self, client: str, now: float, tried: Collection[Backend]) -> Backend | None:
        if self.affinity_seconds is None:
            return self._random(tried)
        entry = self._chosen.get(client)
        if entry and now - entry[1] < self.affinity_seconds and entry[0] in self._backends and entry[0] not in tried:
            backend: Backend | None = entry[0]
        else:
            backend = self._random(tried)
        if backend is not None:
            self._chosen[client] = (backend, now)
            self._changed.add(client)
        return backend

    def failed(self, client: str, backend: Backend) -> None:
        """The backend could not be reached for this client."""
        entry = self._chosen.get(client)
        if entry and entry[0] == backend:
            del self._chosen[client]
            self._changed.add(client)

    def remember(self, choices: Iterable[Choice]) -> None:
        """Let clients return to the backends that they had."""
        for client, backend, last_asked in choices:
            if backend is not None:
                self._chosen[client] = (backend, last_asked)

    @property
    def has_changes(self) -> bool:
        return bool(self._changed)

    def take_changes(self) -> tuple[Choice, ...]:
        """What has changed since the last call."""
        changed, self._changed = self._changed, set()
        return tuple((client, *self._chosen.get(client, (None, 0.0))) for client in changed)

    def forget_expired(self, now: float) -> None:
        if self.affinity_seconds is not None:
            limit = now - self.affinity_seconds
            self._chosen = {client: entry for client, entry in self._chosen.items() if entry[1] > limit}

    def _random(self, tried: Collection[Backend]) -> Backend | None:
        backends = self._backends
        if tried:
            backends = [backend for backend in backends if backend not in tried]
        if not backends:
            return None
        return backends[int(self._dice() * len(backends))]
