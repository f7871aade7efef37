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
        self._granting: dict[int, asyncio.Task[None]] = {}  # minute of the end -> the call that all wait for
        self._leases: dict[int, tuple[int, int]] = {}  # minute of the end -> lease, keys given to it

    async def lease_for(self, ttl: float) -> int:
        """A lease to attach one key to that is to live for ``ttl`` seconds.

        Raises:
            EtcdError: none could be granted.
        """
        while True:
            bucket = math.ceil((self._clock() + ttl) / BUCKET)
            lease, keys = self._leases.get(bucket, (0, MOST_KEYS))
            if keys < MOST_KEYS:
                self._leases[bucket] = lease, keys + 1
                return lease
            granting = self._granting.get(bucket)
            if granting is None:
                granting = self._granting[bucket] = asyncio.create_task(self._grant(bucket), name="etcd-lease")
                granting.add_done_callback(lambda _, bucket=bucket: self._granting.pop(bucket))  # type: ignore[misc]
            await asyncio.shield(granting)  # if it fails, it has failed for all who wait, not for one after the other

    async def _grant(self, bucket: int) -> None:
        now = self._clock()
        lease = await self._etcd.grant_lease(math.ceil(bucket * BUCKET - now))
        self._leases = {end: granted for end, granted in self._leases.items() if end * BUCKET > now}
        self._leases[bucket] = lease, 0

    def forget(self, lease: int) -> None:
        """Etcd does not know this lease any more."""
        self._leases = {end: granted for end, granted in self._leases.items() if granted[0] != lease}
