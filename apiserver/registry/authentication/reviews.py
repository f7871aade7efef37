"""Reviews of the client's own identity and of tokens: answered at once, never stored."""

from collections.abc import Sequence

from apimachinery import errors, meta
from apimachinery.types.authentication_v1 import (
    SelfSubjectReview,
    SelfSubjectReviewStatus,
    TokenReview,
    TokenReviewStatus,
    UserInfo,
)
from apiserver.authentication.authenticators import Authenticator, Credentials
from apiserver.registry.strategy import Strategy
from apiserver.registry.unstored import AnsweredResource
from apiserver.request import Attributes, User


def _info(user: User) -> UserInfo:
    return UserInfo(
        username=user.name,
        uid=user.uid or None,
        groups=list(user.groups) or None,
        extra={key: list(values) for key, values in user.extra.items()} or None,
    )


async def _self(attributes: Attributes, review: SelfSubjectReview) -> SelfSubjectReview:
    review.metadata.creation_timestamp = meta.now()
    review.status = SelfSubjectReviewStatus(user_info=_info(attributes.user))
    return review


SELF_SUBJECT_REVIEWS = AnsweredResource(
    SelfSubjectReview,
    Strategy[SelfSubjectReview](),
    singular="selfsubjectreview",
    verbs=("create",),
    answer=_self,
)


def token_reviews(authenticator: Authenticator) -> AnsweredResource[TokenReview]:
    """The row; ``authenticator`` is the one of requests."""

    async def answer(attributes: Attributes, review: TokenReview) -> TokenReview:
        if not review.spec.token:
            raise errors.BadRequest("token is required for TokenReview in authentication")
        review.status = _reviewed(authenticator, review.spec.token, review.spec.audiences or ())
        return review

    return AnsweredResource(
        TokenReview,
        Strategy[TokenReview](),
        singular="tokenreview",
        verbs=("create",),
        answer=answer,
    )


def _reviewed(authenticator: Authenticator, token: str, audiences: Sequence[str]) -> TokenReviewStatus:
    """The user of the token, and those of the audiences asked about that it is valid for."""
    known: User | None = None
    valid_for: list[str] = []
    fault = ""
    for audience in audiences or ("",):
        credentials = Credentials({"authorization": f"Bearer {token}"}, {}, (audience,) if audience else ())
        try:
            user = authenticator.authenticate(credentials)
        except errors.Unauthorized as refused:
            fault = str(refused)
            continue
        if user is not None:
            known = user
            valid_for += [audience] if audience else []
    if known is None:
        return TokenReviewStatus(user=UserInfo(), error=fault or None)
    return TokenReviewStatus(authenticated=True, user=_info(known), audiences=valid_for or None)
