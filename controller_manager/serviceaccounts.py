"""Gives each namespace a service account ``default``, and recreates it when it is deleted."""

import logging
from contextlib import suppress
from typing import Final

from apimachinery import errors, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Namespace, ServiceAccount
from apimachinery.types.meta_v1 import ObjectMeta
from controller_manager.context import ControllerContext
from kube_client import WorkQueue, process

log = logging.getLogger(__name__)

DEFAULT: Final = "default"
_WORKERS: Final = 5


class ServiceAccountController:
    def __init__(self, context: ControllerContext) -> None:
        self._accounts_api = context.client.resource(ServiceAccount)
        self._namespaces, self._accounts = context.informer(Namespace), context.informer(ServiceAccount)
        self._queue = WorkQueue[str]("serviceaccount")
        self._namespaces.feed(self._queue, lambda namespace: [meta.name_of(namespace)])
        self._accounts.on_change(self._on_account)

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=_WORKERS)

    async def sync(self, namespace: str) -> None:
        if (
            not is_active(self._namespaces.get(Key("", namespace)))
            or self._accounts.get(Key(namespace, DEFAULT)) is not None
        ):
            return
        account = ServiceAccount(metadata=ObjectMeta(name=DEFAULT, namespace=namespace))
        with suppress(errors.AlreadyExists, errors.NotFound):
            await self._accounts_api.create(account)
            log.info("%s/%s: created", namespace, DEFAULT)

    def _on_account(self, old: ServiceAccount | None, new: ServiceAccount | None) -> None:
        if new is None and old is not None and meta.name_of(old) == DEFAULT:
            self._queue.add(meta.namespace_of(old))


def is_active(namespace: Namespace | None) -> bool:
    """Whether objects may still be created in it."""
    return (
        namespace is not None
        and not meta.is_being_deleted(namespace)
        and namespace.status.phase in (None, "", "Active")
    )
