"""Makes a token secret for each service account that has none, as Kubernetes did before 1.24; off by default.

Tools of that age wait for it in the account's ``secrets``. ``serviceaccount_tokens`` fills it, and deletes it with the
account.
"""

import logging
from contextlib import suppress
from typing import Final, Self

from apimachinery import codec, errors, meta
from apimachinery.core import well_known
from apimachinery.meta import Key
from apimachinery.types.core_v1 import ObjectReference, Secret, ServiceAccount
from apimachinery.types.meta_v1 import ObjectMeta
from controller_manager.context import ControllerContext
from controller_manager.serviceaccount_tokens import account_of
from kube_client import WorkQueue, process

log = logging.getLogger(__name__)

_WORKERS: Final = 5


class TokenSecretsController:
    def __init__(self, context: ControllerContext) -> None:
        self._secrets_api, self._accounts_api = context.client.resource(Secret), context.client.resource(ServiceAccount)
        self._accounts = context.informer(ServiceAccount)
        token_secrets = context.informer(Secret, field_selector=f"type={well_known.SERVICE_ACCOUNT_TOKEN_TYPE}")
        self._queue = WorkQueue[Key]("serviceaccount_token_secrets")
        self._accounts.feed(self._queue)
        token_secrets.feed(self._queue, lambda secret: [account_of(secret)])

    @classmethod
    def if_requested(cls, context: ControllerContext) -> Self | None:
        """None without ``--legacy-service-account-token-secrets``."""
        return cls(context) if context.options.legacy_service_account_token_secrets else None

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=_WORKERS)

    async def sync(self, key: Key) -> None:
        """Give one account a secret. What is decided from the cache is checked with the server: a secret is for ever."""
        if self._accounts.get(key) is None:
            return
        try:
            account = await self._accounts_api.get(key.name, namespace=key.namespace)
        except errors.NotFound:
            return
        if meta.is_being_deleted(account) or await self._has_secret(account):
            return
        secret = await self._secrets_api.create(_secret_for(account))
        changed = codec.copy(account)
        name = meta.name_of(secret)
        changed.secrets = [*(changed.secrets or ()), ObjectReference(name=name)]
        try:
            await self._accounts_api.update(changed)
        except errors.ApiError:
            with suppress(errors.ApiError):  # the next attempt makes another
                await self._secrets_api.delete(name, namespace=key.namespace, uid=meta.uid_of(secret))
            raise
        log.info("%s: created secret %s", key, name)

    async def _has_secret(self, account: ServiceAccount) -> bool:
        for reference in account.secrets or ():
            with suppress(errors.NotFound):
                secret = await self._secrets_api.get(reference.name or "", namespace=meta.namespace_of(account))
                if secret.type == well_known.SERVICE_ACCOUNT_TOKEN_TYPE and account_of(secret) == meta.key_of(account):
                    return True
        return False


def _secret_for(account: ServiceAccount) -> Secret:
    namespace, name = meta.key_of(account)
    return Secret(
        metadata=ObjectMeta(
            generate_name=f"{name}-token-",
            namespace=namespace,
            annotations={
                well_known.SERVICE_ACCOUNT_NAME_ANNOTATION: name,
                well_known.SERVICE_ACCOUNT_UID_ANNOTATION: meta.uid_of(account),
            },
        ),
        type=well_known.SERVICE_ACCOUNT_TOKEN_TYPE,
    )
