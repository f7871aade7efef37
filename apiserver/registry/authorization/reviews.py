"""May I, may they: the authorizer's answers as resources. Never stored."""

from collections.abc import Callable, Iterator
from typing import Any

from apimachinery import errors
from apimachinery.fields import FieldError, Path
from apimachinery.types.authorization_v1 import (
    LocalSubjectAccessReview,
    NonResourceAttributes,
    NonResourceRule,
    ResourceAttributes,
    ResourceRule,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
    SubjectAccessReviewStatus,
    SubjectRulesReviewStatus,
)
from apiserver.authorization import Authorizer
from apiserver.registry import columns
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.strategy import Strategy
from apiserver.registry.workloads import SPEC
from apiserver.request import Attributes, User

_BOTH = "cannot be specified in combination with resourceAttributes"
_NEITHER = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


class SelfAccessKind(Strategy[Any]):
    """A question names what is to be done, to an object or to a path."""

    def validate(self, obj: Any) -> Iterator[FieldError]:
        asked, path = obj.spec.resource_attributes, obj.spec.non_resource_attributes
        if asked is not None and path is not None:
            yield (SPEC / "nonResourceAttributes").invalid("", _BOTH)
        elif asked is None and path is None:
            yield (SPEC / "resourceAttributes").invalid("", _NEITHER)


class AccessKind(SelfAccessKind):
    """A question about somebody else names them."""

    def validate(self, obj: Any) -> Iterator[FieldError]:
        yield from super().validate(obj)
        if not obj.spec.user and not obj.spec.groups:
            yield (SPEC / "user").invalid("", "at least one of user or group must be specified")


class LocalAccessKind(AccessKind):
    """A question about one namespace."""

    def validate(self, obj: Any) -> Iterator[FieldError]:
        yield from super().validate(obj)
        asked = obj.spec.resource_attributes
        if asked is not None and (asked.namespace or "") != (obj.metadata.namespace or ""):
            yield (SPEC / "resourceAttributes" / "namespace").invalid(asked.namespace, "must match metadata.namespace")
        if obj.spec.non_resource_attributes is not None:
            yield (SPEC / "nonResourceAttributes").invalid("", "disallowed on this kind of request")


class RulesKind(Strategy[SelfSubjectRulesReview]):
    def validate(self, obj: SelfSubjectRulesReview) -> Iterator[FieldError]:
        if not obj.spec.namespace:
            yield Path("spec", "namespace").required("no namespace on request")


def reviews(authorizer: Authorizer) -> list[ResourceInfo[Any]]:
    """The rows, for who decides about requests."""

    async def judged(review: Any, user: User) -> Any:
        question = _question(user, review.spec.resource_attributes, review.spec.non_resource_attributes)
        review.status = await _verdict(authorizer, question)
        return review

    async def about_me(store: Any, attributes: Attributes, review: Any) -> Any:
        return await judged(review, attributes.user)

    async def about_them(store: Any, attributes: Attributes, review: Any) -> Any:
        extra = {key: tuple(values) for key, values in (review.spec.extra or {}).items()}
        user = User(
            review.spec.user or "", uid=review.spec.uid or "", groups=tuple(review.spec.groups or ()), extra=extra
        )
        return await judged(review, user)

    async def rules(store: Any, attributes: Attributes, review: SelfSubjectRulesReview) -> SelfSubjectRulesReview:
        review.status = await _rules(authorizer, attributes.user, review.spec.namespace or "")
        return review

    return [
        _row(SelfSubjectAccessReview, SelfAccessKind(), about_me),
        _row(SubjectAccessReview, AccessKind(), about_them),
        _row(LocalSubjectAccessReview, LocalAccessKind(), about_them),
        _row(SelfSubjectRulesReview, RulesKind(), rules),
    ]


def _row(type: Any, strategy: Strategy[Any], answer: Callable[..., Any]) -> ResourceInfo[Any]:
    return ResourceInfo(
        type, strategy, singular=type.__name__.lower(), columns=(columns.name(),), verbs=("create",), answer=answer
    )


def _question(user: User, asked: ResourceAttributes | None, path: NonResourceAttributes | None) -> Attributes:
    if asked is None:
        wanted = path or NonResourceAttributes()
        return Attributes(user, wanted.verb or "", wanted.path or "")
    return Attributes(
        user,
        asked.verb or "",
        "",
        group=asked.group or "",
        version=asked.version or "",
        resource=asked.resource or "",
        subresource=asked.subresource or "",
        namespace=asked.namespace or "",
        name=asked.name or "",
    )


async def _verdict(authorizer: Authorizer, question: Attributes) -> SubjectAccessReviewStatus:
    try:
        await authorizer.authorize(question)
    except errors.Forbidden as refusal:
        return SubjectAccessReviewStatus(allowed=False, reason=refusal.message)
    return SubjectAccessReviewStatus(allowed=True)


async def _rules(authorizer: Authorizer, user: User, namespace: str) -> SubjectRulesReviewStatus:
    """All that may be done. An authorizer can only be asked, so it is asked about everything at once."""
    everything = (
        Attributes(user, "*", "", group="*", version="*", resource="*", namespace=namespace),
        Attributes(user, "*", "*"),
    )
    for question in everything:
        if not (await _verdict(authorizer, question)).allowed:
            return SubjectRulesReviewStatus(
                incomplete=True, evaluation_error="the authorizer answers single questions only"
            )
    return SubjectRulesReviewStatus(
        resource_rules=[ResourceRule(verbs=["*"], api_groups=["*"], resources=["*"])],
        non_resource_rules=[NonResourceRule(verbs=["*"], non_resource_urls=["*"])],
    )
