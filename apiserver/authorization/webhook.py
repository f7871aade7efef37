"""The authorizer Webhook: another server decides, which is asked by a SubjectAccessReview and whose answers are kept.

Where it cannot be asked there is no opinion: the next authorizer decides, and in the end nothing is allowed. Facts of
Kubernetes' apiserver/plugin/pkg/authorizer/webhook.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from apimachinery import codec, errors
from apimachinery.types.authorization_v1 import (
    NonResourceAttributes,
    ResourceAttributes,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
)
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.authorization.authorizer import Decision, Rules
from apiserver.request import Attributes, User
from kube_client.config import Config
from kube_client.rest import RestClient

log = logging.getLogger(__name__)

_PATIENCE: Final = 10.0
"""Seconds that a request waits for the answer."""
_AT_ONCE: Final = 100
"""Questions that are asked at the same time; further ones wait."""
_KEPT: Final = 8192
"""Answers that are kept."""
_LARGEST_KEPT: Final = 10_000
"""Bytes of a question; larger ones are asked each time."""
_NO_ANSWER: Final = Decision("no opinion", "the authorization webhook could not be asked")


class Webhook:
    """Asks nobody until ``run`` runs."""

    def __init__(
        self,
        config: Config,
        authorized_ttl: float,
        unauthorized_ttl: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            config: the server, whose URL the reviews are posted to as it is.
            authorized_ttl: seconds that an answer is kept which allows.
            unauthorized_ttl: seconds that any other answer is kept.
        """
        self._config = config
        self._authorized_ttl, self._unauthorized_ttl, self._clock = authorized_ttl, unauthorized_ttl, clock
        self._client: RestClient | None = None
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._answers: OrderedDict[bytes, tuple[float, Decision]] = OrderedDict()

    async def run(self) -> None:
        try:
            async with RestClient(self._config, user_agent="kube-apiserver") as self._client:
                await asyncio.Event().wait()
        finally:
            self._client = None

    async def decide(self, attributes: Attributes) -> Decision:
        question = codec.encode(SubjectAccessReview(metadata=ObjectMeta(), spec=_spec(attributes)))
        if (decision := self._kept(question)) is not None:
            return decision
        try:
            async with asyncio.timeout(_PATIENCE), self._turns:
                decision = _decision(await self._ask(question))
        except (errors.ApiError, TimeoutError) as fault:
            log.warning("the authorization webhook did not answer: %s", fault or "timeout")
            return _NO_ANSWER
        self._keep(question, decision)
        return decision

    def rules_for(self, user: User, namespace: str) -> Rules:
        return Rules(is_incomplete=True, error="webhook authorizer does not support user rule resolution")

    async def _ask(self, question: bytes) -> SubjectAccessReviewStatus:
        """Raises ApiError if the answer is none."""
        if self._client is None:
            raise errors.ServiceUnavailable("not connected yet")
        try:
            answer = await self._client.request("POST", "", body=question)
        except errors.ServiceUnavailable:  # also an idle connection that the server has closed meanwhile
            answer = await self._client.request("POST", "", body=question)
        return codec.decode(answer, SubjectAccessReview).status

    def _kept(self, question: bytes) -> Decision | None:
        answer = self._answers.get(question)
        if answer is None:
            return None
        expires, decision = answer
        if expires <= self._clock():
            del self._answers[question]
            return None
        self._answers.move_to_end(question)
        return decision

    def _keep(self, question: bytes, decision: Decision) -> None:
        ttl = self._authorized_ttl if decision.allows else self._unauthorized_ttl
        if not ttl or len(question) > _LARGEST_KEPT:
            return
        self._answers[question] = self._clock() + ttl, decision
        if len(self._answers) > _KEPT:
            self._answers.popitem(last=False)


def _spec(attributes: Attributes) -> SubjectAccessReviewSpec:
    user = attributes.user
    spec = SubjectAccessReviewSpec(
        user=user.name or None,
        uid=user.uid or None,
        groups=list(user.groups) or None,
        extra={key: list(values) for key, values in user.extra.items()} or None,
    )
    if attributes.resource:
        spec.resource_attributes = ResourceAttributes(
            namespace=attributes.namespace or None,
            verb=attributes.verb,
            group=attributes.group or None,
            version=attributes.version or None,
            resource=attributes.resource,
            subresource=attributes.subresource or None,
            name=attributes.name or None,
        )
    else:
        spec.non_resource_attributes = NonResourceAttributes(path=attributes.path, verb=attributes.verb)
    return spec


def _decision(status: SubjectAccessReviewStatus) -> Decision:
    reason = status.reason or ""
    if status.denied:
        return Decision("deny", reason)
    return Decision("allow" if status.allowed else "no opinion", reason)
