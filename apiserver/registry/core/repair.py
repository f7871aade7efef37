"""Compares what services hold with what is claimed for them, and reports differences.

Claims are written in the services' own transactions, so a difference means that somebody wrote to etcd by
hand, or a bug. It is reported, not repaired: freeing an address that is in use would be worse.
"""

import asyncio
import logging
from typing import Final

from apimachinery import errors
from apimachinery.types.core_v1 import Service
from apiserver.registry.core.allocators import IPS, NODE_PORTS, held_by
from apiserver.registry.store import Store
from component_base.metrics import Gauge

log = logging.getLogger(__name__)

INTERVAL: Final = 180.0  # s
_faults: Final = Gauge(
    "apiserver_service_claims_inconsistent",
    "Claims that no service holds, and services without their claim.",
    ("kind",),
)


class ClaimsRepair:
    """The loop; ``check`` is one turn of it."""

    def __init__(self, services: Store[Service]) -> None:
        self._services = services

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.check()
            except errors.ApiError as fault:
                log.info("claims: %s; will retry", fault)

    async def check(self) -> tuple[set[str], set[str]]:
        """Claims that no service holds, and claims that are missing. What changes meanwhile is checked again."""
        leaked, missing = await self._differences()
        if leaked or missing:
            again_leaked, again_missing = await self._differences()
            leaked, missing = leaked & again_leaked, missing & again_missing
        for claim in sorted(leaked):
            log.error("%s: claimed, but no service holds it", claim)
        for claim in sorted(missing):
            log.error("%s: held by a service, but not claimed", claim)
        _faults.set(len(leaked), "leaked")
        _faults.set(len(missing), "missing")
        return leaked, missing

    async def _differences(self) -> tuple[set[str], set[str]]:
        claimed: set[str] = set()
        for prefix in (IPS, NODE_PORTS):
            claimed |= set(await self._services.storage.meta.list(prefix))
        page = await self._services.list_at(self._services.info.prefix)
        held = {claim for stored in page.items for claim in held_by(stored.object)}
        return claimed - held, held - claimed
