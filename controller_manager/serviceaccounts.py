"""Each namespace has a service account ``default``: it is made at once, and made again when it is deleted."""

import logging
from contextlib import suppress
from typing import Final

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Namespace, ServiceAccount
from apimachinery.types.meta_v1 import ObjectMeta
from controller_manager.informers import Informers
from kube_client import Client, WorkQueue, process

log = logging.getLogger(__name__)

DEFAULT: Final = "default"


class ServiceAccountController:
    def __init__(self, client: Client, informers: Informers) -> None:
        self._client = client.resource(ServiceAccount)
        self._namespaces, self._accounts = informers.namespaces, informers.service_accounts
        self._queue = WorkQueue[str]("serviceaccount")
        self._namespaces.on_change(self._on_namespace)
        self._accounts.on_change(self._on_account)

    async def run(self, workers: int) -> None:
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, namespace: str) -> None:
        found = self._namespaces.get(Key("", namespace))
        if not is_active(found) or self._accounts.get(Key(namespace, DEFAULT)) is not None:
            return
        account = ServiceAccount(metadata=ObjectMeta(name=DEFAULT, namespace=namespace))
        with suppress(errors.AlreadyExists, errors.NotFound):
            await self._client.create(account)
            log.info("%s/%s: made", namespace, DEFAULT)

    def _on_namespace(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            self._queue.add(meta.name_of(new))

    def _on_account(self, old: ServiceAccount | None, new: ServiceAccount | None) -> None:
        if new is None and old is not None and meta.name_of(old) == DEFAULT:
            self._queue.add(meta.namespace_of(old))


def is_active(namespace: Namespace | None) -> bool:
    """Whether things may still be made in it."""
    return (
        namespace is not None
        and not meta.is_being_deleted(namespace)
        and namespace.status.phase in (None, "", "Active")
    )
