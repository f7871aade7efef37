"""Secrets of type ``kubernetes.io/service-account-token``: filled with a token that has no end, gone with the account.

Nobody gets such a secret who does not ask for one; pods are given tokens of their own by their kubelet.
"""

import base64
import logging
from contextlib import suppress
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Secret, ServiceAccount
from controller_manager.informers import BY_ACCOUNT, Informers, account_of
from kube_client import Client, WorkQueue, process

log = logging.getLogger(__name__)

ACCOUNT_UID: Final = "kubernetes.io/service-account.uid"
_ISSUER: Final = "kubernetes/serviceaccount"
_CLAIM: Final = "kubernetes.io/serviceaccount/"


class TokensController:
    """``private_key`` signs (PEM); ``bundle`` is the authority to put beside the token, in PEM, or empty."""

    def __init__(self, client: Client, informers: Informers, private_key: bytes, bundle: bytes) -> None:
        self._secrets, self._accounts = client.resource(Secret), client.resource(ServiceAccount)
        self._known_secrets, self._known_accounts = informers.token_secrets, informers.service_accounts
        self._key: Any = serialization.load_pem_private_key(private_key, password=None)
        self._bundle = bundle
        self._queue = WorkQueue[Key]("serviceaccount_tokens")
        self._known_secrets.on_change(self._on_secret)
        self._known_accounts.on_change(self._on_account)

    async def run(self, workers: int) -> None:
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, key: Key) -> None:
        """Fill one secret, or take it away."""
        secret = self._known_secrets.get(key)
        if secret is None or meta.is_being_deleted(secret):
            return
        account = await self._account(secret)
        if account is None:
            with suppress(errors.NotFound, errors.Conflict):
                await self._secrets.delete(key.name, namespace=key.namespace, uid=meta.uid_of(secret))
                log.info("%s: deleted, its service account is gone", key)
            return
        data = secret.data or {}
        wanted = {"namespace": _text(key.namespace.encode())}
        if self._bundle:
            wanted["ca.crt"] = _text(self._bundle)
        if not data.get("token"):
            wanted["token"] = _text(self._token(account, key).encode())
        annotations = meta.annotations_of(secret)
        if wanted.items() <= data.items() and annotations.get(ACCOUNT_UID) == meta.uid_of(account):
            return
        changed = codec.copy(secret)
        changed.data = {**data, **wanted}
        changed.metadata.annotations = {**annotations, ACCOUNT_UID: meta.uid_of(account)}
        with suppress(errors.NotFound):
            await self._secrets.update(changed)

    async def _account(self, secret: Secret) -> ServiceAccount | None:
        """The secret's account. The server is asked before a secret goes because the cache does not know it."""
        key = account_of(secret)
        found = self._known_accounts.get(key)
        if found is None:
            try:
                found = await self._accounts.get(key.name, namespace=key.namespace)
            except errors.NotFound:
                return None
        uid = meta.annotations_of(secret).get(ACCOUNT_UID)
        return found if not uid or uid == meta.uid_of(found) else None

    def _token(self, account: ServiceAccount, secret: Key) -> str:
        namespace, name = meta.key_of(account)
        claims = {
            "iss": _ISSUER,
            "sub": f"system:serviceaccount:{namespace}:{name}",
            f"{_CLAIM}namespace": namespace,
            f"{_CLAIM}secret.name": secret.name,
            f"{_CLAIM}service-account.name": name,
            f"{_CLAIM}service-account.uid": meta.uid_of(account),
        }
        return jwt.encode(claims, self._key, algorithm="RS256")

    def _on_secret(self, old: Secret | None, new: Secret | None) -> None:
        if new is not None:
            self._queue.add(meta.key_of(new))

    def _on_account(self, old: ServiceAccount | None, new: ServiceAccount | None) -> None:
        if one := new or old:
            for secret in self._known_secrets.by_index(BY_ACCOUNT, meta.key_of(one)):
                self._queue.add(meta.key_of(secret))


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
