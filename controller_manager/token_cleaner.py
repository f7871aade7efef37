"""Deletes bootstrap tokens once they have expired."""

import logging
from contextlib import suppress
from datetime import UTC, datetime

from apimachinery import errors, meta
from apimachinery.core import bootstrap_tokens
from apimachinery.core.bootstrap_tokens import Unusable
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Secret
from controller_manager.context import ControllerContext
from kube_client import WorkQueue, process

log = logging.getLogger(__name__)


class TokenCleaner:
    def __init__(self, context: ControllerContext) -> None:
        self._secrets_api = context.client.resource(Secret)
        self._secrets = context.informer(
            Secret, namespace=bootstrap_tokens.NAMESPACE, field_selector=f"type={bootstrap_tokens.SECRET_TYPE}"
        )
        self._queue = WorkQueue[Key]("token_cleaner")
        self._secrets.feed(self._queue)

    async def run(self) -> None:
        await process(self._queue, self.sync)

    async def sync(self, key: Key) -> None:
        secret = self._secrets.get(key)
        if secret is None or meta.is_being_deleted(secret):
            return
        seconds = _seconds_left(secret, datetime.now(UTC))
        if seconds is None:
            return
        if seconds > 0:
            self._queue.add_after(key, seconds)
            return
        with suppress(errors.NotFound, errors.Conflict):
            version = secret.metadata.resource_version  # an expiration that is moved at this moment counts
            await self._secrets_api.delete(
                key.name, namespace=key.namespace, uid=meta.uid_of(secret), resource_version=version
            )
            log.info("%s: deleted, the token has expired", key)


def _seconds_left(secret: Secret, now: datetime) -> float | None:
    """Until the token expires; None if it never does."""
    try:
        expiration = bootstrap_tokens.expiration_of(secret)
    except Unusable:
        return 0.0
    return None if expiration is None else (expiration - now).total_seconds()
