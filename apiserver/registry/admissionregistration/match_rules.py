"""What webhooks and admission policies share: which requests they are about, and where they are served."""

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types.admissionregistration_v1 import (
    MatchCondition,
    MatchResources,
    NamedRuleWithOperations,
    RuleWithOperations,
    WebhookClientConfig,
)
from apimachinery.types.meta_v1 import LabelSelector
from apiserver.registry import field_rules

Rules = Sequence[RuleWithOperations | NamedRuleWithOperations] | None

OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES: Final = ("*", "Cluster", "Namespaced")
FAILURE_POLICIES: Final = ("Fail", "Ignore")
MATCH_POLICIES: Final = ("Equivalent", "Exact")
_MOST_CONDITIONS: Final = 64


def default_rules(rules: Rules) -> None:
    for rule in rules or ():
        rule.scope = rule.scope or "*"


def default_match(match: MatchResources) -> None:
    match.match_policy = match.match_policy or "Equivalent"
    match.namespace_selector = match.namespace_selector or LabelSelector()
    match.object_selector = match.object_selector or LabelSelector()
    default_rules(match.resource_rules)
    default_rules(match.exclude_resource_rules)


def validate_rules(path: Path, rules: Rules) -> Iterator[FieldError]:
    for i, rule in enumerate(rules or ()):
        for field, values in (
            ("apiGroups", rule.api_groups), ("apiVersions", rule.api_versions), ("operations", rule.operations),
            ("resources", rule.resources),
        ):  # fmt: skip
            if not values:
                yield (path[i] / field).required()
            elif len(values) > 1 and "*" in values:
                yield (path[i] / field).invalid(values, f"if '*' is present, must not specify other {_WORDS[field]}")
        for j, operation in enumerate(rule.operations or ()):
            yield from field_rules.required((path[i] / "operations")[j], operation, OPERATIONS)
        yield from field_rules.required(path[i] / "scope", rule.scope, SCOPES)


_WORDS: Final = {
    "apiGroups": "API groups", "apiVersions": "API versions", "operations": "operations", "resources": "resources",
}  # fmt: skip


def validate_match(path: Path, match: MatchResources) -> Iterator[FieldError]:
    yield from field_rules.required(path / "matchPolicy", match.match_policy, MATCH_POLICIES)
    yield from field_rules.validate_selector(path / "namespaceSelector", match.namespace_selector)
    yield from field_rules.validate_selector(path / "objectSelector", match.object_selector)
    yield from validate_rules(path / "resourceRules", match.resource_rules)
    yield from validate_rules(path / "excludeResourceRules", match.exclude_resource_rules)


def validate_conditions(path: Path, conditions: Sequence[MatchCondition] | None) -> Iterator[FieldError]:
    earlier: set[str] = set()
    if len(conditions or ()) > _MOST_CONDITIONS:
        yield path.invalid(len(conditions or ()), f"must have at most {_MOST_CONDITIONS} items")
    for i, condition in enumerate(conditions or ()):
        if not condition.expression.strip():
            yield (path[i] / "expression").required()
        if not condition.name:
            yield (path[i] / "name").required()
        else:
            yield from names.check(path[i] / "name", condition.name, names.qualified_name)
            if condition.name in earlier:
                yield (path[i] / "name").duplicate(condition.name)
            earlier.add(condition.name)


def validate_client(path: Path, client: WebhookClientConfig) -> Iterator[FieldError]:
    """Where the webhook is: at a URL, or behind a service."""
    if (client.url is None) is (client.service is None):
        yield path.required("exactly one of url or service is required")
    if client.url is not None:
        parts = urlsplit(client.url)
        if parts.scheme != "https":
            yield (path / "url").invalid(parts.scheme, "'https' is the only allowed URL scheme")
        if not parts.hostname:
            yield (path / "url").invalid(client.url, "host must be specified")
    if client.service is not None:
        for field, value in (("name", client.service.name), ("namespace", client.service.namespace)):
            if not value:
                yield (path / "service" / field).required()
        if not 1 <= (client.service.port or 0) <= 65535:
            yield (path / "service" / "port").invalid(
                client.service.port, "port is not valid: must be between 1 and 65535, inclusive"
            )
    if client.ca_bundle:
        try:
            base64.b64decode(client.ca_bundle, validate=True)
        except (binascii.Error, ValueError):
            yield (path / "caBundle").invalid("", "illegal base64 data")
