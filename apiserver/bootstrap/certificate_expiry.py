"""Events about certificates of this server that expire soon, on the service ``kubernetes``: who looks at it sees them."""

import asyncio
import hashlib
import logging
from datetime import UTC, datetime
from typing import Final

from apimachinery import errors, meta
from apimachinery.core.certificates import Certified, warnings
from apimachinery.types.core_v1 import Event, EventSource, ObjectReference
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.bootstrap.objects import Objects
from apiserver.registry.resources import Resources

log = logging.getLogger(__name__)

PERIOD: Final = 3600.0
"""Seconds between looks; an event is kept for an hour after it was last written."""
_RETRY: Final = 5.0
_COMPONENT: Final = "kube-apiserver"


class CertificateExpiry:
    def __init__(self, resources: Resources, *users: Certified | None) -> None:
        self._objects, self._users = Objects(resources), [user for user in users if user is not None]

    async def run(self) -> None:
        while True:
            try:
                await self._report(datetime.now(UTC))
            except errors.ApiError as fault:
                log.info("certificate expiry: %s; will retry", fault)
                await asyncio.sleep(_RETRY)
            else:
                await asyncio.sleep(PERIOD)

    async def _report(self, now: datetime) -> None:
        for user in self._users:
            for reason, message in warnings(user.certificates, now):
                log.warning("%s: %s", reason, message)
                await self._objects.put(_event(reason, message))


def _event(reason: str, message: str) -> Event:
    """Always the same one for what is said, so that it is not repeated."""
    digest = hashlib.sha256(message.encode()).hexdigest()[:16]
    return Event(
        metadata=ObjectMeta(name=f"kubernetes.{digest}", namespace="default"),
        involved_object=ObjectReference(kind="Service", api_version="v1", namespace="default", name="kubernetes"),
        type="Warning",
        reason=reason,
        message=message,
        source=EventSource(component=_COMPONENT),
        reporting_component=_COMPONENT,
        first_timestamp=meta.now(),
        last_timestamp=meta.now(),
        count=1,
    )
