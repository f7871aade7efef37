"""Signs ``kube-public/cluster-info`` with each bootstrap token that may sign, so that a joining node can trust it."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from apimachinery import codec, errors, meta
from apimachinery.core import bootstrap_tokens, cluster_info
from apimachinery.core.bootstrap_tokens import BootstrapToken, Unusable
from apimachinery.meta import Key
from apimachinery.types.core_v1 import ConfigMap, Secret
from controller_manager.context import ControllerContext
from kube_client import WorkQueue, process

log = logging.getLogger(__name__)

_KEY: Final = Key(cluster_info.NAMESPACE, cluster_info.NAME)


class BootstrapSigner:
    def __init__(self, context: ControllerContext) -> None:
        self._config_maps_api = context.client.resource(ConfigMap)
        self._secrets = context.informer(
            Secret, namespace=bootstrap_tokens.NAMESPACE, field_selector=f"type={bootstrap_tokens.SECRET_TYPE}"
        )
        self._config_maps = context.informer(
            ConfigMap, namespace=cluster_info.NAMESPACE, field_selector=f"metadata.name={cluster_info.NAME}"
        )
        self._queue = WorkQueue[Key]("bootstrap_signer")
        self._secrets.feed(self._queue, lambda secret: [_KEY])
        self._config_maps.feed(self._queue)

    async def run(self) -> None:
        await process(self._queue, self.sync)

    async def sync(self, key: Key) -> None:
        info = self._config_maps.get(key)
        if info is None or meta.is_being_deleted(info):
            return
        now = datetime.now(UTC)
        tokens = list(signing(self._secrets.list(), now))
        if upcoming := [token.expiration for token in tokens if token.expiration is not None]:
            self._queue.add_after(key, (min(upcoming) - now).total_seconds() + 1)
        data = cluster_info.signed(info.data or {}, [token.token for token in tokens])
        if data == (info.data or {}):
            return
        changed = codec.copy(info)
        changed.data = data
        with suppress(errors.NotFound):
            await self._config_maps_api.update(changed)
            log.info("%s: signed with the tokens %s", key, ", ".join(token.token.id for token in tokens) or "of nobody")


def signing(secrets: Iterable[Secret], now: datetime) -> Iterator[BootstrapToken]:
    """The tokens that may sign now."""
    for secret in secrets:
        with suppress(Unusable):
            token = bootstrap_tokens.read(secret)
            if (
                bootstrap_tokens.SIGNING in token.usages
                and not token.is_expired(now)
                and not meta.is_being_deleted(secret)
            ):
                yield token
