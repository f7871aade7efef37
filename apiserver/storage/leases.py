"""Etcd leases for objects with a time to live: one for all that end in the same minute."""

import asyncio
import math
import time
from collections.abc import Callable

from apiserver.storage.etcd import Etcd

BUCKET = 60  # s
MOST_KEYS = 1000  # as in kube-apiserver: etcd deletes a lease's keys in one transaction


class Leases:
    """Hands out leases that live for what was asked, up to a minute more."""

    def __init__(self, etcd: Etcd, clock: Callable[[], float] = time.monotonic) -> None:
        self._etcd = etcd
        self._clock = clock
        self._granting = asyncio.Lock()
        self._leases: dict[int, tuple[int, int]] = {}  # minute of the end -> lease, keys given to it

    async def lease_for(self, ttl: float) -> int:
        """A lease to attach one key to that is to live for ``ttl`` seconds.

        Raises:
            EtcdError: none could be granted.
        """
        async with self._granting:
            now = self._clock()
            bucket = math.ceil((now + ttl) / BUCKET)
            lease, keys = self._leases.get(bucket, (0, MOST_KEYS))
            if keys >= MOST_KEYS:
                lease, keys = await self._etcd.grant_lease(math.ceil(bucket * BUCKET - now)), 0
                self._leases = {end: granted for end, granted in self._leases.items() if end * BUCKET > now}
            self._leases[bucket] = lease, keys + 1
            return lease

    def forget(self, lease: int) -> None:
        """Etcd does not know this lease any more."""
        self._leases = {end: granted for end, granted in self._leases.items() if granted[0] != lease}
