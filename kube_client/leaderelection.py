"""Of several candidates one leads, by holding a Lease.

Promises: ``lead`` runs only while the Lease is ours, as far as clocks' rates (not their times) agree: the
holder gives up ``renew_deadline`` after its last success, the others wait ``lease_duration`` from when they
themselves last saw the Lease change. Every write is a compare-and-set on the resourceVersion, so two
candidates never both win a race. A clean stop gives the Lease back.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from apimachinery import errors, meta
from apimachinery.types import coordination_v1, meta_v1

if TYPE_CHECKING:
    from kube_client.rest import Client

log = logging.getLogger(__name__)

_RELEASE_TIMEOUT = 2.0
"""Seconds for giving the Lease back: a stopping daemon must not wait for a lost server."""


class LeadershipLost(Exception):
    """The Lease could not be kept; whoever led must stop, and best start again as a process."""


class LeaderElector:
    """One candidate for one Lease. Durations in seconds, Kubernetes' defaults."""

    def __init__(
        self,
        client: "Client",
        *,
        name: str,
        namespace: str,
        identity: str,
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
    ) -> None:
        if not lease_duration > renew_deadline > retry_period > 0:
            raise ValueError("lease duration must be above the renew deadline, and that above the retry period")
        self._leases = client.resource(coordination_v1.Lease)
        self._key = meta.Key(namespace, name)
        self._identity = identity
        self._lease_duration = lease_duration
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._lease: coordination_v1.Lease | None = None  # as last read or written
        self._known = False  # whether ``_lease`` is our own last write and nothing has gone wrong since
        self._seen_at = 0.0  # when, by our clock, the Lease was last seen to change
        self.is_leader = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, then run ``lead`` while renewing it. Returns when ``lead`` does.

        Raises:
            LeadershipLost: the Lease is lost; ``lead`` has been cancelled and has ended.
        """
        await self._acquire()
        log.info("%s: %s leads", self._key, self._identity)
        self.is_leader = True
        lost = False
        try:
            lost = await self._lead(lead)
        finally:
            self.is_leader = False
            if not lost:
                await self._release()
        if lost:
            raise LeadershipLost(f"{self._key}: {self._identity} could not keep the lease")

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> bool:
        """Lead until ``lead`` ends (False) or the Lease is lost (True)."""

        async def leading() -> None:
            await lead()

        work = asyncio.create_task(leading(), name=f"lead-{self._key.name}")
        renewal = asyncio.create_task(self._renew(), name=f"renew-{self._key.name}")
        try:
            await asyncio.wait([work, renewal], return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost = renewal.done()
            for task in (work, renewal):
                task.cancel()
            # Both have ended before the Lease is given back: nobody else may lead while we still work.
            await asyncio.wait([work, renewal])
        if renewal.done() and not renewal.cancelled() and (error := renewal.exception()):
            raise error
        if not work.cancelled():
            work.result()
            return False
        return lost

    async def _acquire(self) -> None:
        while not await self._try():  # noqa: ASYNC110  # nobody could set an event
            # Spread as in client-go, so that candidates do not ask in step.
            await asyncio.sleep(self._retry_period * random.uniform(1.0, 2.2))

    async def _renew(self) -> None:
        """Keep the Lease; returns when it is lost."""
        loop = asyncio.get_running_loop()
        renewed_at = loop.time()
        while True:
            await asyncio.sleep(self._retry_period)
            started = loop.time()
            try:
                async with asyncio.timeout_at(renewed_at + self._renew_deadline):
                    while not await self._try():
                        if not self._is_ours():
                            log.error("%s: the lease went to %s", self._key, self._holder())
                            return
                        await asyncio.sleep(self._retry_period)
                        started = loop.time()
            except TimeoutError:
                log.error("%s: not renewed for %.0f s", self._key, self._renew_deadline)
                return
            # Counted from before the request: the others count from when the server had it at the earliest.
            renewed_at = started

    async def _try(self) -> bool:
        """Take or renew the Lease if it is free, expired or ours."""
        try:
            lease = await self._read()
            if lease is None:
                return self._won(await self._leases.create(self._claim(None)))
            if self._holder() not in ("", self._identity) and not self._expired():
                return False
            return self._won(await self._leases.update(self._claim(lease)))
        except (errors.Conflict, errors.AlreadyExists, errors.NotFound):
            log.debug("%s: someone else has written or deleted it", self._key)
        except errors.ApiError as exc:
            log.info("%s: %s; will retry", self._key, exc)
        self._known = False  # whatever failed, the server alone knows how the Lease is now
        return False

    async def _read(self) -> coordination_v1.Lease | None:
        if self._known and self._lease is not None:
            return self._lease  # as we wrote it last: enough for the compare-and-set
        try:
            lease = await self._leases.get(self._key.name, namespace=self._key.namespace)
        except errors.NotFound:
            self._lease = None
            return None
        self._remember(lease)
        return lease

    def _won(self, lease: coordination_v1.Lease) -> bool:
        self._remember(lease)
        self._known = True
        return True

    def _remember(self, lease: coordination_v1.Lease) -> None:
        if self._lease is None or self._lease.metadata.resource_version != lease.metadata.resource_version:
            self._seen_at = asyncio.get_running_loop().time()
        self._lease = lease

    def _claim(self, lease: coordination_v1.Lease | None) -> coordination_v1.Lease:
        """The Lease as it should be: ours, renewed now."""
        now = meta.now_micro()
        old = lease.spec if lease is not None and lease.spec else coordination_v1.LeaseSpec()
        same = old.holder_identity == self._identity
        metadata = lease.metadata if lease else meta_v1.ObjectMeta(name=self._key.name, namespace=self._key.namespace)
        return coordination_v1.Lease(
            metadata=metadata,
            spec=coordination_v1.LeaseSpec(
                holder_identity=self._identity,
                lease_duration_seconds=max(1, round(self._lease_duration)),
                acquire_time=old.acquire_time if same else now,
                renew_time=now,
                lease_transitions=(old.lease_transitions or 0) + (0 if same or lease is None else 1),
            ),
        )

    def _holder(self) -> str:
        return (self._lease.spec.holder_identity or "") if self._lease is not None and self._lease.spec else ""

    def _is_ours(self) -> bool:
        return self._holder() in ("", self._identity)

    def _expired(self) -> bool:
        spec = self._lease.spec if self._lease is not None else None
        duration = (spec.lease_duration_seconds if spec else None) or self._lease_duration
        return asyncio.get_running_loop().time() > self._seen_at + duration

    async def _release(self) -> None:
        """Give the Lease back, so that the next leader need not wait for it to expire."""
        with suppress(errors.ApiError, TimeoutError):
            async with asyncio.timeout(_RELEASE_TIMEOUT):
                while not await self._hand_over():
                    log.debug("%s: written meanwhile; will retry", self._key)

    async def _hand_over(self) -> bool:
        """Empty the Lease if it is ours; False if it changed in between."""
        # Read anew: a renewal that was cancelled under way may have reached the server or may yet.
        self._known = False
        lease = await self._read()
        if lease is None or self._holder() != self._identity:
            return True
        claim = self._claim(lease)
        claim.spec.holder_identity = ""
        claim.spec.lease_duration_seconds = 1
        try:
            await self._leases.update(claim)
        except errors.Conflict:
            return False
        log.info("%s: %s has given the lease back", self._key, self._identity)
        return True
