"""Whether a flow schema matches a request, by the rules of Kubernetes' own matcher. Pure functions."""

from collections.abc import Sequence

from apimachinery.types.flowcontrol_v1 import (
    FlowSchema,
    NonResourcePolicyRule,
    PolicyRulesWithSubjects,
    ResourcePolicyRule,
    Subject,
)
from apiserver.request import Attributes, User

_ACCOUNT = "system:serviceaccount:"


def matches(schema: FlowSchema, attributes: Attributes) -> bool:
    return any(_rule_matches(rule, attributes) for rule in schema.spec.rules or ())


def _rule_matches(rule: PolicyRulesWithSubjects, attributes: Attributes) -> bool:
    if not any(_is(subject, attributes.user) for subject in rule.subjects):
        return False
    if attributes.resource:
        return any(_covers_resource(resource_rule, attributes) for resource_rule in rule.resource_rules or ())
    return any(_covers_path(path_rule, attributes) for path_rule in rule.non_resource_rules or ())


def _is(subject: Subject, user: User) -> bool:
    match subject.kind:
        case "User" if subject.user is not None:
            return subject.user.name in ("*", user.name)
        case "Group" if subject.group is not None:
            return subject.group.name == "*" or subject.group.name in user.groups
        case "ServiceAccount" if subject.service_account is not None:
            account = subject.service_account
            of_namespace = f"{_ACCOUNT}{account.namespace}:"
            return (
                user.name.startswith(of_namespace) if account.name == "*" else user.name == of_namespace + account.name
            )
    return False


def _covers_resource(rule: ResourcePolicyRule, attributes: Attributes) -> bool:
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    if not (
        _has(rule.verbs, attributes.verb) and _has(rule.api_groups, attributes.group) and _has(rule.resources, resource)
    ):
        return False
    return _has(rule.namespaces or (), attributes.namespace) if attributes.namespace else bool(rule.cluster_scope)


def _covers_path(rule: NonResourcePolicyRule, attributes: Attributes) -> bool:
    return _has(rule.verbs, attributes.verb) and any(_path(url, attributes.path) for url in rule.non_resource_urls)


def _path(url: str, path: str) -> bool:
    """``/a`` and ``/a/*`` alike match what is below ``/a``; the former matches ``/a`` itself, too."""
    return url in ("*", path) or path.startswith(url.removesuffix("*").removesuffix("/") + "/")


def _has(values: Sequence[str], value: str) -> bool:
    return value in values or (len(values) == 1 and values[0] == "*")
