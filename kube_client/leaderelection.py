"""Exactly one of several candidates leads, by holding a Lease.

Promises: ``lead`` runs only while the Lease is ours, as far as clocks' rates (not their times) agree: the
holder gives up ``renew_deadline`` after its last success, the others wait ``lease_duration`` after they
last saw the Lease change. Every write is a compare-and-set on the resourceVersion, so two
candidates never both win a race. A clean stop releases the Lease.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from apimachinery import errors, meta
from apimachinery.types import coordination_v1, meta_v1
from kube_client.client import Client

log = logging.getLogger(__name__)

_RELEASE_TIMEOUT = 2.0
"""Seconds for releasing the Lease: a stopping daemon must not wait for a lost server."""


class LeadershipLost(Exception):
    """The Lease could not be kept; the leader must stop, and is best restarted as a process."""


class ElectionSettings(Protocol):
    """The flags of leader election; ``component_base.leader_election`` defines them."""

    @property
    def leader_elect(self) -> bool: ...
    @property
    def leader_elect_lease_duration(self) -> float: ...
    @property
    def leader_elect_renew_deadline(self) -> float: ...
    @property
    def leader_elect_retry_period(self) -> float: ...
    @property
    def leader_elect_resource_name(self) -> str: ...
    @property
    def leader_elect_resource_namespace(self) -> str: ...


async def run_elected(
    client: Client, settings: ElectionSettings, identity: str, lead: Callable[[], Awaitable[None]]
) -> None:
    """Run ``lead`` while being the leader, or at once where the flags ask for no election.

    Raises:
        LeadershipLost: the Lease is lost; ``lead`` has been cancelled and has ended.
    """
    if not settings.leader_elect:
        await lead()
        return
    elector = LeaderElector(
        client,
        name=settings.leader_elect_resource_name,
        namespace=settings.leader_elect_resource_namespace,
        identity=identity,
        lease_duration=settings.leader_elect_lease_duration,
        renew_deadline=settings.leader_elect_renew_deadline,
        retry_period=settings.leader_elect_retry_period,
    )
    await elector.run(lead)


class LeaderElector:
    """One candidate for one Lease. Durations in seconds, Kubernetes' defaults."""

    def __init__(
        self,
        client: Client,
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
        self._leases_api = client.resource(coordination_v1.Lease)
        self._key = meta.Key(namespace, name)
        self._identity = identity
        self._lease_duration = lease_duration
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._lease: coordination_v1.Lease | None = None  # as last read or written
        self._is_current = False  # whether ``_lease`` is our own last write and nothing has gone wrong since
        self._changed_at = 0.0  # when, by our clock, the Lease was last seen to change
        self.is_leader = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, then run ``lead`` while renewing it. Returns when ``lead`` does.

        Raises:
            LeadershipLost: the Lease is lost; ``lead`` has been cancelled and has ended.
        """
        await self._acquire()
        log.info("%s: %s is the leader", self._key, self._identity)
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

        async def work_as_leader() -> None:
            await lead()

        work = asyncio.create_task(work_as_leader(), name=f"lead-{self._key.name}")
        renewal = asyncio.create_task(self._renew(), name=f"renew-{self._key.name}")
        try:
            await asyncio.wait([work, renewal], return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost = renewal.done()
            for task in (work, renewal):
                task.cancel()
            # Both have ended before the Lease is released: no other candidate may lead while we still work.
            await asyncio.wait([work, renewal])
        if renewal.done() and not renewal.cancelled() and (error := renewal.exception()):
            raise error
        if not work.cancelled():
            work.result()
            return False
        return lost

    async def _acquire(self) -> None:
        while not await self._try():  # noqa: ASYNC110  # nobody could set an event
            # Spread as in client-go, so that candidates do not try in step.
            await asyncio.sleep(self._retry_period * random.uniform(1.0, 2.2))

    async def _renew(self) -> None:
        """Keep renewing the Lease; returns when it is lost."""
        loop = asyncio.get_running_loop()
        renewed_at = loop.time()
        while True:
            await asyncio.sleep(self._retry_period)
            started = loop.time()
            try:
                async with asyncio.timeout_at(renewed_at + self._renew_deadline):
                    while not await self._try():
                        if not self._is_ours():
                            log.error("%s: lost the lease to %s", self._key, self._holder())
                            return
                        await asyncio.sleep(self._retry_period)
                        started = loop.time()
            except TimeoutError:
                log.error("%s: not renewed for %.0f s", self._key, self._renew_deadline)
                return
            # Counted from before the request: the others count from no earlier than its arrival at the server.
            renewed_at = started

    async def _try(self) -> bool:
        """Take or renew the Lease if it is free, expired or ours."""
        try:
            lease = await self._read()
            if lease is None:
                return self._won(await self._leases_api.create(self._claim(None)))
            if self._holder() not in ("", self._identity) and not self._expired():
                return False
            return self._won(await self._leases_api.update(self._claim(lease)))
        except (errors.Conflict, errors.AlreadyExists, errors.NotFound):
            log.debug("%s: another candidate has written or deleted it", self._key)
        except errors.ApiError as exc:
            log.info("%s: %s; will retry", self._key, exc)
        self._is_current = False  # whatever failed, only the server knows the Lease now
        return False

    async def _read(self) -> coordination_v1.Lease | None:
        if self._is_current and self._lease is not None:
            return self._lease  # as we wrote it last: enough for the compare-and-set
        try:
            lease = await self._leases_api.get(self._key.name, namespace=self._key.namespace)
        except errors.NotFound:
            self._lease = None
            return None
        self._remember(lease)
        return lease

    def _won(self, lease: coordination_v1.Lease) -> bool:
        self._remember(lease)
        self._is_current = True
        return True

    def _remember(self, lease: coordination_v1.Lease) -> None:
        if self._lease is None or self._lease.metadata.resource_version != lease.metadata.resource_version:
            self._changed_at = asyncio.get_running_loop().time()
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
        return asyncio.get_running_loop().time() > self._changed_at + duration

    async def _release(self) -> None:
        """Release the Lease, so that the next leader need not wait for it to expire."""
        with suppress(errors.ApiError, TimeoutError):
            async with asyncio.timeout(_RELEASE_TIMEOUT):
                while not await self._hand_over():
                    log.debug("%s: changed meanwhile; will retry", self._key)

    async def _hand_over(self) -> bool:
        """Empty the Lease if it is ours; False if it changed in between."""
        # Read again: a renewal that was cancelled in flight may have reached the server, or may still.
        self._is_current = False
        lease = await self._read()
        if lease is None or self._holder() != self._identity:
            return True
        claim = self._claim(lease)
        claim.spec.holder_identity = ""
        claim.spec.lease_duration_seconds = 1
        try:
            await self._leases_api.update(claim)
        except errors.Conflict:
            return False
        log.info("%s: %s released the lease", self._key, self._identity)
        return True
