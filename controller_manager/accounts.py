"""The service accounts as which controllers act, one for each, with its rights alone: ``--use-service-account-credentials``.

The accounts are in kube-system; their roles are among those that every apiserver creates. The controller manager itself
only makes the accounts and their tokens, and watches. A token is a file that its client reads again when it changes.
"""

import asyncio
import logging
import time
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Self

from apimachinery import errors, meta
from apimachinery.types.authentication_v1 import TokenRequest, TokenRequestSpec
from apimachinery.types.core_v1 import ServiceAccount
from apimachinery.types.meta_v1 import ObjectMeta
from kube_client import Client
from kube_client.config import Material

log = logging.getLogger(__name__)

_NAMESPACE: Final = "kube-system"
_LIFE: Final = 3600  # s, of a token
_RENEW: Final = 0.5 * _LIFE  # s after which it is replaced
_EVERY: Final = 10.0  # s between looks at the accounts, which somebody may delete
_RETRY: Final = 1.0  # s


@dataclass
class _Issued:
    """The token that an account has now."""

    uid: str
    renew_at: float
    """Monotonic."""


class Accounts:
    """Use as an async context manager, which waits until the apiserver has given the first tokens; and ``run``.

    Args:
        client: the controller manager's own.
        names: of the accounts.
    """

    def __init__(self, client: Client, names: Collection[str]) -> None:
        self._own, self._names = client, names
        self._api = client.resource(ServiceAccount)
        self._issued: dict[str, _Issued] = {}
        self._clients: dict[str, Client] = {}
        self._folder: Path
        self._stack: AsyncExitStack

    def client(self, name: str) -> Client:
        """The apiserver as that account."""
        return self._clients[name]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._folder = Path(stack.enter_context(TemporaryDirectory(prefix="controllers-")))
            while True:
                if await self._renew_all():
                    break
                await asyncio.sleep(_RETRY)
            for name in self._names:
                token = Material(path=self._path(name))
                config = replace(self._own.config, token=token, client_certificate=None, client_key=None, origin=None)
                client = Client(config, user_agent=f"{self._own.user_agent}/{name}")
                self._clients[name] = await stack.enter_async_context(client)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def run(self) -> None:
        """Keep the tokens valid until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            await self._renew_all()

    async def _renew_all(self) -> bool:
        """Returns whether all have tokens now."""
        succeeded = True
        for name in self._names:
            try:
                await self._renew(name)
            except errors.ApiError as fault:
                succeeded = False
                log.warning("service account %s/%s: no token: %s; will retry", _NAMESPACE, name, fault)
        return succeeded

    async def _renew(self, name: str) -> None:
        """Give an account a token, if it has none that will do for a while. Raises ApiError."""
        issued, account = self._issued.get(name), await self._ensure(name)
        uid = meta.uid_of(account)
        if issued is not None and issued.uid == uid and time.monotonic() < issued.renew_at:
            return
        spec = TokenRequestSpec(audiences=[], expiration_seconds=_LIFE)
        answer = await self._api.ask_subresource(name, "token", TokenRequest(spec=spec), namespace=_NAMESPACE)
        self._write(name, answer.status.token or "")
        self._issued[name] = _Issued(uid, time.monotonic() + _RENEW)

    async def _ensure(self, name: str) -> ServiceAccount:
        try:
            return await self._api.get(name, namespace=_NAMESPACE)
        except errors.NotFound:
            return await self._api.create(ServiceAccount(metadata=ObjectMeta(name=name, namespace=_NAMESPACE)))

    def _path(self, name: str) -> Path:
        return self._folder / name

    def _write(self, name: str, token: str) -> None:
        """Atomically; the folder is readable by its owner alone."""
        fresh = self._folder / f"{name}.new"
        fresh.write_text(token)
        fresh.replace(self._path(name))
