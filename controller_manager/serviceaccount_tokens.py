"""Secrets of type ``kubernetes.io/service-account-token``: filled with a token that does not expire, deleted with the
account.

Such secrets exist only where someone creates them; pods get tokens of their own from their kubelet.
"""

import base64
import logging
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, cast

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from apimachinery import codec, errors, meta
from apimachinery.core import well_known
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Secret, ServiceAccount
from controller_manager.context import ControllerContext
from kube_client import WorkQueue, process

log = logging.getLogger(__name__)

BY_ACCOUNT: Final = "account"
"""Token secrets by the key of their service account."""
_ISSUER: Final = "kubernetes/serviceaccount"
_CLAIM: Final = "kubernetes.io/serviceaccount/"
_WORKERS: Final = 5


class TokensController:
    def __init__(self, context: ControllerContext, key: RSAPrivateKey, ca_bundle: bytes) -> None:
        """``key`` signs the tokens; ``ca_bundle`` is the authority to store beside the token, in PEM, or empty."""
        self._secrets_api, self._accounts_api = context.client.resource(Secret), context.client.resource(ServiceAccount)
        self._accounts = context.informer(ServiceAccount)
        self._secrets = context.informer(
            Secret,
            field_selector=f"type={well_known.SERVICE_ACCOUNT_TOKEN_TYPE}",
            indexes={BY_ACCOUNT: _by_account},
        )
        self._key, self._ca_bundle = key, ca_bundle
        self._queue = WorkQueue[Key]("serviceaccount_tokens")
        self._secrets.feed(self._queue)
        self._accounts.feed(
            self._queue,
            lambda account: map(meta.key_of, self._secrets.by_index(BY_ACCOUNT, meta.key_of(account))),
        )

    @classmethod
    def if_signing(cls, context: ControllerContext) -> Self | None:
        """None without ``--service-account-private-key-file``."""
        key_file, ca_file = context.options.service_account_private_key_file, context.options.root_ca_file
        if key_file is None:
            return None
        return cls(context, read_signing_key(key_file), ca_file.read_bytes() if ca_file is not None else b"")

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=_WORKERS)

    async def sync(self, key: Key) -> None:
        """Fill one secret, or delete it."""
        secret = self._secrets.get(key)
        if secret is None or meta.is_being_deleted(secret):
            return
        account = await self._account(secret)
        if account is None:
            with suppress(errors.NotFound, errors.Conflict):
                await self._secrets_api.delete(key.name, namespace=key.namespace, uid=meta.uid_of(secret))
                log.info("%s: deleted, its service account is gone", key)
            return
        data = secret.data or {}
        required = {"namespace": _base64(key.namespace.encode())}
        if self._ca_bundle:
            required["ca.crt"] = _base64(self._ca_bundle)
        if not data.get("token"):
            required["token"] = _base64(self._token(account, key).encode())
        annotations = meta.annotations_of(secret)
        uid = {well_known.SERVICE_ACCOUNT_UID_ANNOTATION: meta.uid_of(account)}
        if required.items() <= data.items() and uid.items() <= annotations.items():
            return
        changed = codec.copy(secret)
        changed.data, changed.metadata.annotations = {**data, **required}, {**annotations, **uid}
        with suppress(errors.NotFound):
            await self._secrets_api.update(changed)

    async def _account(self, secret: Secret) -> ServiceAccount | None:
        """The secret's account. The server is asked before an account that the cache lacks costs a secret."""
        key = account_of(secret)
        account = self._accounts.get(key)
        if account is None:
            try:
                account = await self._accounts_api.get(key.name, namespace=key.namespace)
            except errors.NotFound:
                return None
        uid = meta.annotations_of(secret).get(well_known.SERVICE_ACCOUNT_UID_ANNOTATION)
        return account if not uid or uid == meta.uid_of(account) else None

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


def read_signing_key(path: Path) -> RSAPrivateKey:
    """The key of ``--service-account-private-key-file``, which the flag's type has found to be RSA."""
    return cast(RSAPrivateKey, serialization.load_pem_private_key(path.read_bytes(), password=None))


def account_of(secret: Secret) -> Key:
    """The service account that a token secret is for."""
    name = meta.annotations_of(secret).get(well_known.SERVICE_ACCOUNT_NAME_ANNOTATION, "")
    return Key(meta.namespace_of(secret), name)


def _by_account(secret: Secret) -> list[Hashable]:
    return [account_of(secret)]


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
