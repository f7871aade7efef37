"""Who am I, and whose token is this: answered at once, never stored."""

from collections.abc import Sequence
from typing import Any

from apimachinery import errors, meta
from apimachinery.types.authentication_v1 import (
    SelfSubjectReview,
    SelfSubjectReviewStatus,
    TokenReview,
    TokenReviewStatus,
    UserInfo,
)
from apiserver.authentication import Authenticator, Credentials
from apiserver.registry import columns
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.strategy import Strategy
from apiserver.request import Attributes, User


def _info(user: User) -> UserInfo:
    return UserInfo(
        username=user.name,
        uid=user.uid or None,
        groups=list(user.groups) or None,
        extra={key: list(values) for key, values in user.extra.items()} or None,
    )


async def _self(store: Any, attributes: Attributes, review: SelfSubjectReview) -> SelfSubjectReview:
    review.metadata.creation_timestamp = meta.now()
    review.status = SelfSubjectReviewStatus(user_info=_info(attributes.user))
    return review


SELF_SUBJECT_REVIEWS = ResourceInfo(
    SelfSubjectReview,
    Strategy[SelfSubjectReview](),
    singular="selfsubjectreview",
    columns=(columns.name(),),
    verbs=("create",),
    answer=_self,
)


def token_reviews(authenticator: Authenticator) -> ResourceInfo[TokenReview]:
    """The row, for who decides about tokens."""

    async def answer(store: Any, attributes: Attributes, review: TokenReview) -> TokenReview:
        if not review.spec.token:
            raise errors.BadRequest("token is required for TokenReview in authentication")
        review.status = _reviewed(authenticator, review.spec.token, review.spec.audiences or ())
        return review

    return ResourceInfo(
        TokenReview,
        Strategy[TokenReview](),
        singular="tokenreview",
        columns=(columns.name(),),
        verbs=("create",),
        answer=answer,
    )


def _reviewed(authenticator: Authenticator, token: str, audiences: Sequence[str]) -> TokenReviewStatus:
    """Whose token it is; of the audiences asked about, those that it is meant for."""
    found: User | None = None
    meant: list[str] = []
    fault = ""
    for audience in audiences or ("",):
        credentials = Credentials({"authorization": f"Bearer {token}"}, {}, (audience,) if audience else ())
        try:
            user = authenticator.authenticate(credentials)
        except errors.Unauthorized as refused:
            fault = str(refused)
            continue
        if user is not None:
            found = user
            meant += [audience] if audience else []
    if found is None:
        return TokenReviewStatus(user=UserInfo(), error=fault or None)
    return TokenReviewStatus(authenticated=True, user=_info(found), audiences=meant or None)
