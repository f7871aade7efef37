"""The one etcd watch that feeds all caches.

    position   read everything at one revision R, give it to the caches
    follow     watch from R; each revision is applied whole, then ``Progress`` advances to it
               the stream ends            -> follow again from the last revision applied
               compacted, gap, replaced   -> position again; watchers end with 410

The watch is over etcd's whole key space. Then every revision that etcd ever gives out arrives here, whatever it
was about (claims, compaction, expired leases), and who waits for the revision of a linearizable read cannot hang;
a watch over /registry/ alone would need progress notifications for that, which etcd before 3.4.31 and 3.5.13 does
not order properly. It also makes revisions dense, so a lost one is noticed (etcd has lost some: issues 15271, 17529).

Following starts at the last revision applied, not at the one after it: etcd refuses a start before its
compaction, but when it is compacted exactly at the start, it may leave out deletions of that revision (18089).
As the start is known already, nothing that it leaves out is missed.
"""

import asyncio
import logging
from collections import defaultdict
from contextlib import aclosing
from typing import Any

from apiserver.storage import metrics
from apiserver.storage.cache import Cache
from apiserver.storage.etcd import Etcd, Revision
from apiserver.storage.etcd.errors import Compacted, EtcdError
from apiserver.storage.objects import Stored
from apiserver.storage.progress import Progress

log = logging.getLogger(__name__)

REGISTRY = "/registry/"
PATIENCE = 5.0  # s
_SHED_INTERVAL = 300.0  # s
_RETRY = 0.1  # s between two attempts to reach etcd, which waits for a connection itself
_SLICE = 64  # revisions applied before others get their turn on the event loop, about 1 ms


class _Broken(Exception):
    """The caches cannot be brought up to date event by event."""


class Feed:
    """Keeps caches up to date while ``run`` runs, through any failure of etcd.

    Args:
        patience: seconds without progress, although etcd has some, after which the watch is restarted.
    """

    def __init__(self, etcd: Etcd, progress: Progress, patience: float = PATIENCE) -> None:
        self._etcd = etcd
        self._progress = progress
        self._patience = patience
        self._caches: dict[str, Cache[Any]] = {}
        self._added: asyncio.Queue[Cache[Any]] = asyncio.Queue()
        self._positioned = asyncio.Event()
        self._loading = asyncio.Lock()
        self._stream: asyncio.Timeout | None = None

    def cache_of(self, key: str) -> Cache[Any] | None:
        return self._caches.get(key[: key.rfind("/", 0, key.rfind("/")) + 1])

    def cache_at(self, prefix: str) -> Cache[Any] | None:
        return self._caches.get(prefix)

    def add(self, cache: Cache[Any]) -> None:
        """Feed a cache from now on; if all others are loaded, it is read on its own."""
        self._caches[cache.prefix] = cache
        self._added.put_nowait(cache)

    def remove(self, cache: Cache[Any]) -> None:
        del self._caches[cache.prefix]
        cache.close()

    async def wait_positioned(self) -> None:
        """Return once the caches are loaded."""
        await self._positioned.wait()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_following(), name="etcd-watch")
            tasks.create_task(self._load_added(), name="etcd-load")
            tasks.create_task(self._guard(), name="etcd-watch-guard")
            tasks.create_task(self._keep_shedding(), name="etcd-shed")

    async def _keep_following(self) -> None:
        while True:
            try:
                if not self._positioned.is_set():
                    await self._position()
                await self._follow()
            except (_Broken, Compacted) as exc:
                log.warning("etcd watch: %s; reading everything again", exc)
                metrics.feed_restarts.labels("relist").inc()
                self._positioned.clear()
            except EtcdError as exc:
                log.info("etcd watch: %s; trying again from revision %d", exc, self._progress.revision)
                metrics.feed_restarts.labels("resume").inc()
            await asyncio.sleep(_RETRY)

    async def _position(self) -> None:
        async with self._loading:
            loaded: defaultdict[str, list[Stored[Any]]] = defaultdict(list)
            revision = await self._etcd.revision()
            async for page in self._etcd.pages(REGISTRY, revision=revision):
                for item in page.items:
                    if (cache := self.cache_of(item.key)) is not None:
                        loaded[cache.prefix] += cache.decoded([item])
            for cache in self._caches.values():
                cache.replace(loaded.pop(cache.prefix, []), revision)
            self._progress.advance(revision)
        log.info("etcd watch: loaded %d caches at revision %d", len(self._caches), revision)
        self._positioned.set()

    async def _follow(self) -> None:
        reached = self._progress.revision
        now = await self._etcd.revision()
        if now < reached:
            raise _Broken(f"etcd is at revision {now}, before {reached}: its data were replaced")
        stream = self._etcd.watch(reached)
        try:
            async with asyncio.timeout(None) as self._stream, aclosing(stream):
                async for revision in stream:
                    self._apply(revision)
                    if revision.number % _SLICE == 0:
                        await asyncio.sleep(0)
        except TimeoutError:
            log.warning("etcd watch: silent although etcd has changed")
        finally:
            self._stream = None

    def _apply(self, revision: Revision) -> None:
        reached = self._progress.revision
        if revision.number <= reached:
            return
        if revision.number > reached + 1:
            raise _Broken(f"revision {revision.number} came after {reached}")
        for change in revision.changes:
            if (cache := self.cache_of(change.key)) is not None:
                cache.apply(revision.number, change)
        self._progress.advance(revision.number)

    async def _load_added(self) -> None:
        while True:
            cache = await self._added.get()
            await self._positioned.wait()
            while not cache.is_loaded and self._caches.get(cache.prefix) is cache:
                try:
                    await self._load(cache)
                except EtcdError as exc:
                    log.info("%s: cannot be read from etcd: %s; will retry", cache.prefix, exc)
                    await asyncio.sleep(_RETRY)

    async def _load(self, cache: Cache[Any]) -> None:
        # Positioning must not run meanwhile: its list could be older than this one and be applied later.
        async with self._loading:
            if cache.is_loaded:
                return
            items: list[Stored[Any]] = []
            revision = 0
            async for page in self._etcd.pages(cache.prefix):
                revision = revision or page.revision
                items += cache.decoded(page.items)
            cache.replace(items, revision)

    async def _keep_shedding(self) -> None:
        while True:
            await asyncio.sleep(_SHED_INTERVAL)
            for cache in [*self._caches.values()]:
                await cache.shed()

    async def _guard(self) -> None:
        """Keepalive detects a dead connection; this detects a live one whose watch has gone silent."""
        while True:
            before = self._progress.revision
            await asyncio.sleep(self._patience)
            try:
                behind = await self._etcd.revision() > before
            except EtcdError:
                continue  # the stream notices for itself
            await asyncio.sleep(self._patience)
            stuck = behind and self._progress.revision == before
            if stuck and self._stream is not None and not self._stream.expired():
                self._stream.reschedule(0)
