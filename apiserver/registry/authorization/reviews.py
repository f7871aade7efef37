"""Access reviews: the authorizer's decisions as resources. Never stored."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from apimachinery.fields import FieldError, Path
from apimachinery.selectors import FieldRequirement, FieldSelector, parse_fields
from apimachinery.types.authorization_v1 import (
    FieldSelectorAttributes,
    LocalSubjectAccessReview,
    NonResourceAttributes,
    ResourceAttributes,
    SelfSubjectAccessReview,
    SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
    SubjectRulesReviewStatus,
)
from apimachinery.types.objects import KubeObject
from apiserver.authorization import Authorizer, Rules
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.strategy import Strategy
from apiserver.registry.unstored import AnsweredResource
from apiserver.registry.workloads import SPEC
from apiserver.request import Attributes, User

T = TypeVar("T", bound=KubeObject)

_BOTH = "cannot be specified in combination with resourceAttributes"
_NEITHER = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


class SelfAccessKind(Strategy[SelfSubjectAccessReview]):
    def validate(self, obj: SelfSubjectAccessReview) -> Iterator[FieldError]:
        yield from _validate_action(obj.spec)


class AccessKind(Strategy[SubjectAccessReview]):
    def validate(self, obj: SubjectAccessReview) -> Iterator[FieldError]:
        yield from _validate_action(obj.spec)
        yield from _validate_subject(obj.spec)


class LocalAccessKind(Strategy[LocalSubjectAccessReview]):
    """About one namespace."""

    def validate(self, obj: LocalSubjectAccessReview) -> Iterator[FieldError]:
        yield from _validate_action(obj.spec)
        yield from _validate_subject(obj.spec)
        resource = obj.spec.resource_attributes
        if resource is not None and (resource.namespace or "") != (obj.metadata.namespace or ""):
            yield (SPEC / "resourceAttributes" / "namespace").invalid(
                resource.namespace, "must match metadata.namespace"
            )
        if obj.spec.non_resource_attributes is not None:
            yield (SPEC / "nonResourceAttributes").invalid("", "disallowed on this kind of request")


def _validate_action(spec: SelfSubjectAccessReviewSpec | SubjectAccessReviewSpec) -> Iterator[FieldError]:
    """A review is about an object or about a path."""
    if spec.resource_attributes is not None and spec.non_resource_attributes is not None:
        yield (SPEC / "nonResourceAttributes").invalid("", _BOTH)
    elif spec.resource_attributes is None and spec.non_resource_attributes is None:
        yield (SPEC / "resourceAttributes").invalid("", _NEITHER)


def _validate_subject(spec: SubjectAccessReviewSpec) -> Iterator[FieldError]:
    if not spec.user and not spec.groups:
        yield (SPEC / "user").invalid("", "at least one of user or group must be specified")


class RulesKind(Strategy[SelfSubjectRulesReview]):
    def validate(self, obj: SelfSubjectRulesReview) -> Iterator[FieldError]:
        if not obj.spec.namespace:
            yield Path("spec", "namespace").required("no namespace on request")


def reviews(authorizer: Authorizer) -> tuple[ResourceInfo[Any], ...]:
    """The rows; ``authorizer`` is the one of requests."""

    async def review(
        user: User, spec: SelfSubjectAccessReviewSpec | SubjectAccessReviewSpec
    ) -> SubjectAccessReviewStatus:
        return await _decision(authorizer, _request(user, spec.resource_attributes, spec.non_resource_attributes))

    async def self_access(attributes: Attributes, obj: SelfSubjectAccessReview) -> SelfSubjectAccessReview:
        obj.status = await review(attributes.user, obj.spec)
        return obj

    async def access(attributes: Attributes, obj: SubjectAccessReview) -> SubjectAccessReview:
        obj.status = await review(_user(obj.spec), obj.spec)
        return obj

    async def local_access(attributes: Attributes, obj: LocalSubjectAccessReview) -> LocalSubjectAccessReview:
        obj.status = await review(_user(obj.spec), obj.spec)
        return obj

    async def self_rules(attributes: Attributes, obj: SelfSubjectRulesReview) -> SelfSubjectRulesReview:
        obj.status = _rules(authorizer.rules_for(attributes.user, obj.spec.namespace or ""))
        return obj

    return (
        _row(SelfSubjectAccessReview, SelfAccessKind(), self_access),
        _row(SubjectAccessReview, AccessKind(), access),
        _row(LocalSubjectAccessReview, LocalAccessKind(), local_access),
        _row(SelfSubjectRulesReview, RulesKind(), self_rules),
    )


def _row(type: type[T], strategy: Strategy[T], answer: Callable[[Attributes, T], Awaitable[T]]) -> AnsweredResource[T]:
    return AnsweredResource(type, strategy, singular=type.__name__.lower(), verbs=("create",), answer=answer)


def _user(spec: SubjectAccessReviewSpec) -> User:
    extra = {key: tuple(values) for key, values in (spec.extra or {}).items()}
    return User(spec.user or "", uid=spec.uid or "", groups=tuple(spec.groups or ()), extra=extra)


def _request(user: User, resource: ResourceAttributes | None, path: NonResourceAttributes | None) -> Attributes:
    if resource is None:
        path = path or NonResourceAttributes()
        return Attributes(user, path.verb or "", path.path or "")
    return Attributes(
        user,
        resource.verb or "",
        "",
        group=resource.group or "",
        version=resource.version or "",
        resource=resource.resource or "",
        subresource=resource.subresource or "",
        namespace=resource.namespace or "",
        name=resource.name or "",
        fields=_fields(resource.field_selector),
    )


def _fields(given: FieldSelectorAttributes | None) -> FieldSelector:
    """Which of a collection is asked about. What cannot be understood counts for all of it, of which less is allowed."""
    if given is None:
        return FieldSelector()
    if given.raw_selector:
        try:
            return parse_fields(given.raw_selector)
        except ValueError:
            return FieldSelector()
    return FieldSelector(
        tuple(
            FieldRequirement(requirement.key, value, requirement.operator == "NotIn")
            for requirement in given.requirements or ()
            if requirement.operator in ("In", "NotIn") and len(requirement.values or ()) == 1
            for value in requirement.values or ()
        )
    )


async def _decision(authorizer: Authorizer, request: Attributes) -> SubjectAccessReviewStatus:
    decision = await authorizer.decide(request)
    denied = True if decision.outcome == "deny" else None
    return SubjectAccessReviewStatus(allowed=decision.allows, denied=denied, reason=decision.reason or None)


def _rules(rules: Rules) -> SubjectRulesReviewStatus:
    return SubjectRulesReviewStatus(
        resource_rules=list(rules.resource),
        non_resource_rules=list(rules.non_resource),
        incomplete=rules.is_incomplete,
        evaluation_error=rules.error or None,
    )
