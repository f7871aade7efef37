"""How much room etcd has left: metrics, a warning in time, a health check, and what makes room again.

Etcd refuses writes once its database has reached the quota, and goes on refusing them until the alarm that it raised
is disarmed. To delete objects does not help by itself: their old revisions stay until they are compacted, and the
database stays as large until it is defragmented.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from apimachinery.errors import ServiceUnavailable
from apiserver.storage import metrics
from apiserver.storage.errors import OUT_OF_SPACE
from apiserver.storage.etcd import Etcd, EtcdConfig
from apiserver.storage.etcd.errors import Compacted, EtcdError

log = logging.getLogger(__name__)

INTERVAL: Final = 5.0  # s
_QUOTA_INTERVAL: Final = 300.0  # s; it changes when etcd starts anew
LOW: Final = 0.8
"""The share of the quota from which on space is low."""

_CLUSTER: Final = "etcd-0"
_QUOTA: Final = b"etcd_server_quota_backend_bytes "
_MOST: Final = 4 << 20  # bytes of etcd's metrics that are read
_SECONDS: Final = 5.0  # that this may take


class Space:
    """Watches one etcd cluster's space while ``run`` runs."""

    def __init__(self, etcd: Etcd, config: EtcdConfig, interval: float = INTERVAL) -> None:
        self._etcd, self._config, self._interval = etcd, config, interval
        self._is_out = self._was_low = False
        self._quota: int | None = None
        self._asked_quota_at = -_QUOTA_INTERVAL

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except EtcdError as fault:
                log.info("etcd: its space is unknown: %s", fault)
            await asyncio.sleep(self._interval)

    def check(self) -> None:
        """The health check: what the last look has shown. Raises ServiceUnavailable if nothing can be written."""
        if self._is_out:
            raise ServiceUnavailable(OUT_OF_SPACE)

    async def look(self) -> None:
        """Set the metrics, and warn once when space becomes low. Raises EtcdError."""
        status, is_out = await self._etcd.status(), bool(await self._etcd.out_of_space())
        self._is_out, quota = is_out, await self._known_quota()
        is_low = is_out or (quota is not None and status.db_size > LOW * quota)
        metrics.storage_size.labels(_CLUSTER).set(status.db_size)
        metrics.storage_size_in_use.labels(_CLUSTER).set(status.db_size_in_use)
        metrics.storage_space_low.labels(_CLUSTER).set(is_low)
        if quota is not None:
            metrics.storage_quota.labels(_CLUSTER).set(quota)
        if is_low and not self._was_low:
            log.warning(
                "etcd: %s: its database has %d of %s bytes, %d of them in use; kube-etcd-defrag makes room",
                "out of space" if is_out else "space is low",
                status.db_size,
                quota or "an unknown number of",
                status.db_size_in_use,
            )
        self._was_low = is_low

    async def _known_quota(self) -> int | None:
        now = asyncio.get_running_loop().time()
        if now - self._asked_quota_at >= _QUOTA_INTERVAL:
            self._quota, self._asked_quota_at = await quota_of(self._config), now
        return self._quota


async def quota_of(config: EtcdConfig) -> int | None:
    """The quota in bytes, which etcd tells only in its metrics; None if it does not show them to us."""
    try:
        return await asyncio.to_thread(_read_quota, config)
    except (HTTPException, OSError, ValueError) as fault:
        log.debug("etcd: cannot read its quota: %s", fault)
        return None


def _read_quota(config: EtcdConfig) -> int | None:
    url = urlsplit(config.endpoints[0])
    host, port = url.hostname or "", url.port or 2379
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=config.ca_file)
        if config.cert_file:
            context.load_cert_chain(config.cert_file, config.key_file)
        connection: HTTPConnection = HTTPSConnection(host, port, timeout=_SECONDS, context=context)
    else:
        connection = HTTPConnection(host, port, timeout=_SECONDS)
    with closing(connection):
        connection.request("GET", "/metrics")
        text = connection.getresponse().read(_MOST)
    line = next((line for line in text.splitlines() if line.startswith(_QUOTA)), None)
    return int(float(line.rpartition(b" ")[2])) if line is not None else None


class Defragmented(NamedTuple):
    """One member, with bytes of its database before and after."""

    url: str
    before: int
    after: int


async def make_room(etcd: Etcd) -> AsyncIterator[Defragmented]:
    """Compact to the present, defragment each member, disarm the alarm. Safe to repeat, and while apiservers run.

    Raises:
        EtcdError: a member does not answer; those before it are done.
    """
    try:
        await etcd.compact(await etcd.revision(), physical=True)
    except Compacted:
        log.debug("etcd: nothing to compact")
    for member in etcd.members:
        before = (await etcd.status(member)).db_size
        await etcd.defragment(member)
        yield Defragmented(member.url, before, (await etcd.status(member)).db_size)
    for member_id in await etcd.out_of_space():
        await etcd.disarm(member_id)
