"""Forget etcd's old revisions: each interval, up to where etcd was one interval ago.

Every apiserver tries; ``/registry-meta/compact`` decides. Its version is the number of the interval, and whoever
raises it first compacts in that interval. So history is kept for one to two intervals, however many apiservers
there are, and a clock is never compared with another.
"""

import asyncio
import logging

from apiserver.storage.etcd import Etcd, requests
from apiserver.storage.etcd.errors import Compacted, EtcdError, NoSpace

log = logging.getLogger(__name__)

KEY = "/registry-meta/compact"
INTERVAL = 300.0  # s


class Compactor:
    def __init__(self, etcd: Etcd, interval: float = INTERVAL) -> None:
        self._etcd = etcd
        self._interval = interval
        self._version = 0
        self._revision = 0  # etcd's when the interval before began; 0 if this process has not seen that

    async def run(self) -> None:
        """Compact until cancelled; return at once if the interval is 0."""
        while self._interval > 0:
            await asyncio.sleep(self._interval)
            try:
                await self.compact()
            except EtcdError as exc:
                log.info("%s: not compacted: %s; will retry", KEY, exc)

    async def compact(self) -> bool:
        """Begin the next interval, unless another apiserver has; whether this one did, and compacted."""
        try:
            outcome = await self._etcd.transact(
                [requests.at_version(KEY, self._version)],
                [requests.put(KEY, b"%d" % self._revision)],
                [requests.read(KEY)],
                operation="compactMark",
            )
        except NoSpace:  # no mark can be put, and compaction is needed more than ever: each apiserver does it then
            target, self._revision = self._revision, await self._etcd.revision()
            return await self._compact_to(target)
        target, self._revision = self._revision, outcome.revision
        if not outcome.succeeded:
            marks = outcome.reads[0]
            self._version = marks[0].version if marks else 0
            return False
        self._version += 1
        return await self._compact_to(target)

    async def _compact_to(self, target: int) -> bool:
        if target == 0:
            return False
        try:
            await self._etcd.compact(target)
        except Compacted:
            return False
        log.info("%s: compacted etcd to revision %d", KEY, target)
        return True
