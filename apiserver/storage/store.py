"""Objects in etcd: all access goes through here. Writes are transactions, reads come from caches or from etcd itself.

A write succeeds only if the object is what the caller thinks it is, and takes or releases claims (``meta.py``) in the
same step. It does not wait for the caches; what it returns is what they will hold. A write that may or may not
have happened raises ``Timeout`` and is never repeated here.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Generic, NamedTuple

from apimachinery.errors import ServiceUnavailable
from apimachinery.meta import uid_of
from apiserver.storage.cache import Cache
from apiserver.storage.compaction import INTERVAL, Compactor
from apiserver.storage.current import CurrentRevision
from apiserver.storage.encryption import NO_ENCRYPTION, Encryption
from apiserver.storage.errors import AlreadyExists, ClaimTaken, StorageConflict, as_api_errors
from apiserver.storage.etcd import Etcd, KeyValue, Outcome, requests
from apiserver.storage.etcd.errors import LeaseNotFound
from apiserver.storage.feed import PATIENCE, Feed
from apiserver.storage.leases import Leases
from apiserver.storage.meta import Meta
from apiserver.storage.objects import Stored, T, from_value, to_value
from apiserver.storage.progress import Progress
from apiserver.storage.values import read


class Page(NamedTuple, Generic[T]):
    """Part of a list as of one revision."""

    items: list[Stored[T]]
    revision: int
    remaining: int  # objects after these
    next_key: str  # where the next page begins, "" if this is the last


class Storage:
    """All objects of one etcd cluster. ``run`` must run for anything but plain reads and writes to work.

    Args:
        compaction_interval: seconds; 0 leaves compaction to others.
        watch_patience: seconds that the watch may be silent although etcd has changed.
        encryption: what of it etcd holds encrypted.
    """

    def __init__(
        self,
        etcd: Etcd,
        compaction_interval: float = INTERVAL,
        watch_patience: float = PATIENCE,
        encryption: Encryption = NO_ENCRYPTION,
    ) -> None:
        self.etcd = etcd
        self.meta = Meta(etcd)
        self._encryption = encryption
        self._progress = Progress()
        self._feed = Feed(etcd, self._progress, watch_patience)
        self._current = CurrentRevision(etcd.revision)
        self._leases = Leases(etcd)
        self._compactor = Compactor(etcd, compaction_interval)

    async def run(self) -> None:
        """Keep the caches up to date, through any failure of etcd, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._feed.run(), name="storage-feed")
            tasks.create_task(self._current.run(), name="storage-revision")
            tasks.create_task(self._compactor.run(), name="storage-compaction")

    async def wait_ready(self) -> None:
        """Return once the caches that exist by now are loaded, however long etcd is unavailable."""
        await self._feed.wait_positioned()

    async def check(self, timeout: float = 2.0) -> None:
        """The health check: whether etcd answers a linearizable read.

        Raises:
            ServiceUnavailable: not within ``timeout`` seconds.
        """
        try:
            with as_api_errors():
                async with asyncio.timeout(timeout):
                    await self.etcd.revision()
        except TimeoutError:
            raise ServiceUnavailable(f"etcd did not answer within {timeout} s") from None

    def cache(self, prefix: str, type: type[T]) -> Cache[T]:
        """The cache of one resource; made, and then kept up to date, if there is none yet.

        Args:
            prefix: "/registry/<group or core>/<resource>/"
        """
        cache = self._feed.cache_at(prefix)
        if cache is None:
            cache = Cache(prefix, type, self._progress, self.revision, self._encryption)
            self._feed.add(cache)
        return cache

    def drop_cache(self, prefix: str) -> None:
        """Stop keeping a resource that is no longer served; its watchers end."""
        if (cache := self._feed.cache_at(prefix)) is not None:
            self._feed.remove(cache)

    async def revision(self) -> int:
        """Of the last write that was acknowledged, by any apiserver, before this call."""
        with as_api_errors():
            return await self._current.get()

    async def get(self, key: str, type: type[T]) -> Stored[T] | None:
        """The object as etcd has it now."""
        with as_api_errors():
            key_value = await self.etcd.get(key)
        return read(key_value, type, self._encryption) if key_value else None

    async def list_at(
        self, prefix: str, type: type[T], revision: int = 0, limit: int = 0, start_key: str = ""
    ) -> Page[T]:
        """The objects under a prefix as they were at ``revision`` (0: as they are now), read from etcd.

        Args:
            limit: objects at most; 0 for all.
            start_key: where to begin; ``next_key`` of the page before.

        Raises:
            Expired: ``revision`` is compacted.
        """
        end = requests.prefix_end(prefix)
        key_values: list[KeyValue] = []
        with as_api_errors():
            if limit:
                first = await self.etcd.range(start_key or prefix, end, revision=revision, limit=limit)
                key_values, remaining, at = first.items, first.total - len(first.items), first.revision
            else:
                remaining, at = 0, 0
                async for page in self.etcd.pages(prefix, revision=revision, start=start_key or None):
                    key_values += page.items
                    at = at or page.revision
        items = [read(item, type, self._encryption) for item in key_values]
        next_key = key_values[-1].key + "\0" if remaining else ""
        return Page(items, revision or at, remaining, next_key)

    async def create(self, key: str, obj: T, claims: Iterable[str] = (), ttl: float | None = None) -> Stored[T]:
        """Write a new object, and claim keys for it.

        Args:
            claims: keys that must not exist and will belong to ``obj`` (by its uid).
            ttl: seconds after which etcd deletes it, up to a minute more.

        Raises:
            AlreadyExists: there is an object under ``key``.
            ClaimTaken: one of ``claims`` exists.
        """
        claims = list(claims)
        value = to_value(obj)
        outcome = await self._put(key, value, 0, claims, [], uid_of(obj), ttl)
        if outcome.succeeded:
            return from_value(key, value, outcome.revision, type(obj))
        if outcome.reads[0]:
            raise AlreadyExists(key)
        raise _claim_taken(claims, outcome)

    async def update(
        self,
        key: str,
        obj: T,
        expected_revision: int,
        claims: Iterable[str] = (),
        releases: Iterable[str] = (),
        ttl: float | None = None,
    ) -> Stored[T]:
        """Replace the object that was written at ``expected_revision``.

        Args:
            releases: claims to give up, those of them that belong to ``obj``.
            ttl: as for ``create``, from now; None makes the object permanent.

        Raises:
            StorageConflict: it is at another revision, or gone.
            ClaimTaken: one of ``claims`` exists.
        """
        claims = list(claims)
        value = to_value(obj)
        outcome = await self._put(key, value, expected_revision, claims, releases, uid_of(obj), ttl)
        if outcome.succeeded:
            return from_value(key, value, outcome.revision, type(obj))
        current = outcome.reads[0]
        if not current or current[0].revision != expected_revision:
            raise self._conflict(key, current, type(obj))
        raise _claim_taken(claims, outcome)

    async def delete(self, key: str, expected_revision: int, releases: Iterable[str] = (), owner: str = "") -> int:
        """Remove the object that was written at ``expected_revision``; the revision that did it.

        Args:
            releases: claims to give up, those of them that belong to ``owner`` (the object's uid).

        Raises:
            StorageConflict: it is at another revision, or gone.
        """
        with as_api_errors():
            outcome = await self.etcd.transact(
                [requests.unchanged(key, expected_revision)],
                [requests.delete(key), *_releases(releases, owner)],
                [requests.read(key)],
                operation="delete",
            )
        if outcome.succeeded:
            return outcome.revision
        cache = self._feed.cache_of(key)
        if cache is None:
            raise StorageConflict(key, None)
        raise self._conflict(key, outcome.reads[0], cache.type)

    async def _put(
        self,
        key: str,
        value: bytes,
        expected_revision: int,
        claims: list[str],
        releases: Iterable[str],
        owner: str,
        ttl: float | None,
    ) -> Outcome:
        conditions = [requests.unchanged(key, expected_revision), *map(requests.absent, claims)]
        marks = [requests.put(claim, owner.encode()) for claim in claims]
        marks += _releases(releases, owner)
        reads = [
            requests.read(key, keys_only=expected_revision == 0),
            *(requests.read(claim, keys_only=True) for claim in claims),
        ]
        operation = "update" if expected_revision else "create"
        with as_api_errors():
            lease = await self._leases.lease_for(ttl) if ttl is not None else 0
            sealed = self._encryption.seal(key, value)
            then = [requests.put(key, sealed, lease), *marks]
            try:
                return await self.etcd.transact(conditions, then, reads, operation=operation)
            except LeaseNotFound:  # etcd refused before doing anything; its data may have been replaced
                if ttl is None:
                    raise
                self._leases.forget(lease)
                then[0] = requests.put(key, sealed, await self._leases.lease_for(ttl))
                return await self.etcd.transact(conditions, then, reads, operation=operation)

    def _conflict(self, key: str, reads: list[KeyValue], cls: type[Any]) -> StorageConflict:
        return StorageConflict(key, read(reads[0], cls, self._encryption) if reads else None)


def _releases(claims: Iterable[str], owner: str) -> list[requests.Operation]:
    return [requests.when(requests.holds(claim, owner.encode()), requests.delete(claim)) for claim in claims]


def _claim_taken(claims: list[str], outcome: Outcome) -> ClaimTaken:
    return ClaimTaken(next(claim for claim, owner in zip(claims, outcome.reads[1:], strict=True) if owner))
