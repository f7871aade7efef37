"""Warns of certificates that expire soon: by an event as long as that is so, and in the log."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from apimachinery.core.certificates import Certified, warnings
from apimachinery.types.coordination_v1 import Lease
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.objects import KubeObject
from kube_client.events import EventRecorder

log = logging.getLogger(__name__)

PERIOD: Final = 3600.0
"""Seconds between events, which servers keep for an hour."""


def lease(namespace: str, name: str) -> Lease:
    """What the events of a daemon are about that stands for no other object: the lease for which it is a candidate."""
    return Lease(metadata=ObjectMeta(namespace=namespace, name=name))


class ExpiryReporter:
    """Start ``run`` in the daemon's task group."""

    def __init__(
        self,
        recorder: EventRecorder,
        about: Callable[[], KubeObject | None],
        *users: Certified | None,
    ) -> None:
        """``about`` is the object that the events are about, once it is known."""
        self._recorder, self._about, self._users = recorder, about, [user for user in users if user is not None]

    async def run(self) -> None:
        while True:
            self.report(datetime.now(UTC))
            await asyncio.sleep(PERIOD)

    def report(self, now: datetime) -> None:
        for user in self._users:
            for reason, message in warnings(user.certificates, now):
                log.warning("%s: %s", reason, message)
                if (obj := self._about()) is not None:
                    self._recorder.event(obj, "Warning", reason, message)
