"""Tokens of service accounts for pods: asked of the apiserver, kept in memory, replaced well before they end.

A token is bound to its pod and dies with it. It is replaced when 80 per cent of its life are over, or after a day. If
that fails, the old one serves as long as it holds.
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
_SPENT: Final = 0.8
_JITTER: Final = 10.0


class Wanted(NamedTuple):
    """What a token is for."""

    pod_uid: str
    account: str
    audience: str
    seconds: int


class _Token(NamedTuple):
    text: str
    replace_at: float
    ends_at: float


class Tokens:
    """Belongs to the event loop; ``clock`` gives seconds since the epoch."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.time) -> None:
        self._accounts = client.resource(core_v1.ServiceAccount)
        self._clock = clock
        self._tokens: dict[Wanted, _Token] = {}

    async def of(self, pod: core_v1.Pod, projection: core_v1.ServiceAccountTokenProjection) -> str:
        """A token that holds for a while yet. Raises ``errors.ApiError``."""
        account = pod.spec.service_account_name or "default"
        seconds = projection.expiration_seconds or DEFAULT_SECONDS
        wanted = Wanted(meta.uid_of(pod), account, projection.audience or "", seconds)
        known, now = self._tokens.get(wanted), self._clock()
        if known is not None and now < known.replace_at:
            return known.text
        try:
            fresh = await self._ask(pod, wanted)
        except errors.ApiError as exc:
            if known is None or now >= known.ends_at:
                raise
            log.info("%s: token of %s not replaced: %s; will retry", meta.key_of(pod), account, exc)
            return known.text
        self._tokens = {key: one for key, one in self._tokens.items() if now < one.ends_at}
        self._tokens[wanted] = fresh
        return fresh.text

    async def _ask(self, pod: core_v1.Pod, wanted: Wanted) -> _Token:
        bound = BoundObjectReference(api_version="v1", kind="Pod", name=meta.name_of(pod), uid=meta.uid_of(pod))
        spec = TokenRequestSpec(
            audiences=[wanted.audience] if wanted.audience else [],
            expiration_seconds=wanted.seconds,
            bound_object_ref=bound,
        )
        now = self._clock()
        answer = await self._accounts.ask_subresource(
            wanted.account, "token", TokenRequest(spec=spec), namespace=meta.namespace_of(pod)
        )
        ends = meta.parse_time(answer.status.expiration_timestamp or meta.now()).timestamp()
        life = min(LONGEST, (ends - now) * _SPENT)
        return _Token(answer.status.token or "", now + life - random.uniform(0, min(_JITTER, life / 10)), ends)
