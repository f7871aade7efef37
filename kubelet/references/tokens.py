"""Tokens of service accounts for pods: requested from the apiserver, kept in memory, replaced well before they expire.

A token is bound to its pod and becomes invalid with it. It is replaced after 80 per cent of its lifetime, or after a day.
If that fails, the old one is used until it expires.
"""

import logging
import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from apimachinery import errors, meta
from apimachinery.types import core_v1
from apimachinery.types.authentication_v1 import BoundObjectReference, TokenRequest, TokenRequestSpec
from kube_client import Client

log = logging.getLogger(__name__)

DEFAULT_SECONDS: Final = 3600
LONGEST: Final = 24 * 3600.0
_REPLACE_AFTER: Final = 0.8
_JITTER: Final = 10.0


class TokenKey(NamedTuple):
    """What a token is issued for."""

    pod_uid: str
    account: str
    audience: str
    seconds: int


class _Token(NamedTuple):
    text: str
    replace_at: float
    expires_at: float


class Tokens:
    """Belongs to the event loop; ``clock`` gives seconds since the epoch."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.time) -> None:
        self._accounts_api = client.resource(core_v1.ServiceAccount)
        self._clock = clock
        self._tokens: dict[TokenKey, _Token] = {}

    async def of(self, pod: core_v1.Pod, projection: core_v1.ServiceAccountTokenProjection) -> str:
        """A token that is valid for some time. Raises ``errors.ApiError``."""
        account = pod.spec.service_account_name or "default"
        seconds = projection.expiration_seconds or DEFAULT_SECONDS
        key = TokenKey(meta.uid_of(pod), account, projection.audience or "", seconds)
        known, now = self._tokens.get(key), self._clock()
        if known is not None and now < known.replace_at:
            return known.text
        try:
            token = await self._request(pod, key)
        except errors.ApiError as exc:
            if known is None or now >= known.expires_at:
                raise
            log.info("%s: token of %s not replaced: %s; will retry", meta.key_of(pod), account, exc)
            return known.text
        self._tokens = {k: t for k, t in self._tokens.items() if now < t.expires_at}
        self._tokens[key] = token
        return token.text

    async def _request(self, pod: core_v1.Pod, key: TokenKey) -> _Token:
        bound = BoundObjectReference(api_version="v1", kind="Pod", name=meta.name_of(pod), uid=meta.uid_of(pod))
        spec = TokenRequestSpec(
            audiences=[key.audience] if key.audience else [],
            expiration_seconds=key.seconds,
            bound_object_ref=bound,
        )
        now = self._clock()
        answer = await self._accounts_api.ask_subresource(
            key.account, "token", TokenRequest(spec=spec), namespace=meta.namespace_of(pod)
        )
        ends = meta.parse_time(answer.status.expiration_timestamp or meta.now()).timestamp()
        life = min(LONGEST, (ends - now) * _REPLACE_AFTER)
        return _Token(answer.status.token or "", now + life - random.uniform(0, min(_JITTER, life / 10)), ends)
