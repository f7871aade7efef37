"""Who somebody is and what they may do, as the apiserver says: for daemons that serve others than the apiserver.

Tokens by TokenReview, rights by SubjectAccessReview; answers are remembered for some time, which is how long a right
that was taken away may still be exercised.
"""

import hashlib
from functools import partial
from typing import Final, NamedTuple

from apimachinery import errors
from apimachinery.types import authentication_v1, authorization_v1
from kube_client.answers import Answers
from kube_client.client import Client

_LONGEST: Final = 16 * 1024
"""Characters of a token; those of service accounts have about a thousand."""


class User(NamedTuple):
    """An authenticated identity."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Access(NamedTuple):
    """What somebody wants to do, in the API's terms: with a resource (of the cluster, where there is no namespace), or
    with a path that names none."""

    user: User
    verb: str
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    group: str = ""
    version: str = "v1"
    path: str = ""


class TokenReviews:
    """Users by their tokens."""

    def __init__(self, client: Client, seconds: float) -> None:
        """``seconds`` is how long an answer is remembered; 0: not at all."""
        self._reviews = client.resource(authentication_v1.TokenReview)
        self._answers = Answers[bytes, User | None](lambda user: seconds)

    async def user_of(self, token: str) -> User | None:
        """None if the token is nobody's. Raises ApiError if the apiserver does not say."""
        if len(token) > _LONGEST:
            return None
        return await self._answers.to(hashlib.sha256(token.encode()).digest(), partial(self._ask, token))

    async def _ask(self, token: str) -> User | None:
        review = authentication_v1.TokenReview(spec=authentication_v1.TokenReviewSpec(token=token))
        status = (await self._reviews.create(review)).status
        user = status.user
        if not status.authenticated or user is None or not user.username:
            return None
        extra = tuple(sorted((key, tuple(values)) for key, values in (user.extra or {}).items()))
        return User(user.username, user.uid or "", tuple(user.groups or ()), extra)


class AccessReviews:
    """Whether users may do what they want to."""

    def __init__(self, client: Client, allowed_seconds: float, denied_seconds: float) -> None:
        """For how long each answer is remembered; 0: not at all."""
        self._reviews = client.resource(authorization_v1.SubjectAccessReview)
        self._answers = Answers[Access, bool](lambda yes: allowed_seconds if yes else denied_seconds)

    async def allow(self, access: Access) -> bool:
        """Raises ApiError if the apiserver does not say."""
        return await self._answers.to(access, partial(self._ask, access))

    async def _ask(self, access: Access) -> bool:
        user = access.user
        spec = authorization_v1.SubjectAccessReviewSpec(
            user=user.name,
            uid=user.uid or None,
            groups=list(user.groups),
            extra={key: list(values) for key, values in user.extra} or None,
        )
        if access.path:
            spec.non_resource_attributes = authorization_v1.NonResourceAttributes(verb=access.verb, path=access.path)
        else:
            spec.resource_attributes = _resource_attributes(access)
        try:
            status = (await self._reviews.create(authorization_v1.SubjectAccessReview(spec=spec))).status
        except errors.Invalid:  # what cannot even be asked is not allowed
            return False
        return bool(status and status.allowed and not status.denied)


def _resource_attributes(access: Access) -> authorization_v1.ResourceAttributes:
    return authorization_v1.ResourceAttributes(
        verb=access.verb,
        group=access.group or None,
        version=access.version,
        resource=access.resource,
        subresource=access.subresource or None,
        name=access.name or None,
        namespace=access.namespace or None,
    )
