"""The Docker engine behind an executor: short calls run here, streams have threads of their own.

The SDK blocks, so no call may run on the event loop. ``call`` uses a pool of threads with as many connections;
whatever may last longer than a request (pulls, logs, the event stream) takes ``dedicated`` and a thread of its own,
so that it can never starve the pool. Errors are raised as ``errors.EngineError``.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import docker

from kubelet.runtime import errors
from kubelet.runtime.errors import translated
from kubelet.runtime.threads import ThreadPool

T = TypeVar("T")

THREADS = 16
"""Concurrent calls to the engine. The engine itself serialises most of what it does."""

TIMEOUT = 120.0
"""Seconds for a call: starting a container takes that long only on an overloaded machine."""


class Engine:
    """One engine at ``endpoint`` (``unix:///var/run/docker.sock``, ``tcp://...``). Connects on first use."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._threads = ThreadPool(THREADS, "docker")
        self._client: docker.APIClient | None = None
        self._connecting = threading.Lock()
        self._answered_at = -math.inf

    @property
    def silence(self) -> float:
        """Seconds since its last answer; infinite before the first."""
        return time.monotonic() - self._answered_at

    async def call(self, work: Callable[[docker.APIClient], T]) -> T:
        """Run ``work`` with a client in the pool.

        Cancelling the caller does not stop the work: what was created must be found again by its name.
        """
        return await self._threads.run(lambda: self._work(work))

    @contextmanager
    def dedicated(self) -> Iterator[docker.APIClient]:
        """A client without a timeout, for the thread of one stream. Blocks: not for the event loop."""
        with translated():
            client = docker.APIClient(self.endpoint, version="auto", timeout=None)  # type: ignore[arg-type]
            try:
                yield client
            finally:
                client.close()

    def _work(self, work: Callable[[docker.APIClient], T]) -> T:
        try:
            with translated():
                result = work(self._connected())
        except (errors.Unavailable, errors.Refused):  # no answer, or a failure of the engine's own
            raise
        except errors.EngineError:
            self._answered_at = time.monotonic()
            raise
        self._answered_at = time.monotonic()
        return result

    def _connected(self) -> docker.APIClient:
        """The shared client. Its API version is negotiated, so it is created when the engine first responds."""
        with self._connecting:
            if self._client is None:
                self._client = docker.APIClient(
                    self.endpoint, version="auto", timeout=int(TIMEOUT), num_pools=THREADS, max_pool_size=THREADS
                )
            return self._client
