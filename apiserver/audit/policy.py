"""The audit policy: which requests are recorded, at which stages, and with how much of their bodies.

The file of ``--audit-policy-file`` is a Policy of audit.k8s.io/v1. Its rules are read from the top, and the first that is
about a request decides; a request without a rule is not recorded. Two things differ from Kubernetes: bodies of secrets,
tokens and token reviews are never recorded, whatever a rule says, and a rule that could match nothing is refused.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
import yaml

from apiserver.request import Attributes

Level = Literal["None", "Metadata", "Request", "RequestResponse"]
Stage = Literal["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]

_CONFIDENTIAL: Final = frozenset(
    {("", "secrets", ""), ("", "serviceaccounts", "token"), ("authentication.k8s.io", "tokenreviews", "")}
)
"""Group, resource and subresource of what carries secrets in its bodies."""
_API_VERSION: Final = "audit.k8s.io/v1"


class Recording(NamedTuple):
    """What of a request is recorded."""

    level: Level
    omitted_stages: frozenset[Stage] = frozenset()
    omits_managed_fields: bool = False

    @property
    def has_request(self) -> bool:
        return self.level in ("Request", "RequestResponse")

    @property
    def has_response(self) -> bool:
        return self.level == "RequestResponse"


NOTHING: Final = Recording("None")


class GroupResources(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="camel"):
    """Resources of a group; without ``resources`` all of them."""

    group: str = ""
    resources: list[str] = []
    """``pods``, ``pods/log``, ``pods/*`` (the subresources), ``*/scale``, ``*`` (all, with subresources)."""
    resource_names: list[str] = []

    def is_about(self, attributes: Attributes) -> bool:
        if self.group != attributes.group:
            return False
        if self.resource_names and attributes.name not in self.resource_names:
            return False
        return not self.resources or any(_names(resource, attributes) for resource in self.resources)


def _names(resource: str, attributes: Attributes) -> bool:
    if resource == "*":
        return True
    if not attributes.subresource:
        return resource == attributes.resource
    return resource in (
        f"{attributes.resource}/{attributes.subresource}",
        f"{attributes.resource}/*",
        f"*/{attributes.subresource}",
    )


class Rule(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="camel"):
    """One rule; an empty list is about every request."""

    level: Level
    users: list[str] = []
    user_groups: list[str] = []
    verbs: list[str] = []
    resources: list[GroupResources] = []
    namespaces: list[str] = []
    non_resource_urls: Annotated[list[str], msgspec.Meta(max_length=1000)] = msgspec.field(
        default_factory=list, name="nonResourceURLs"
    )
    omit_stages: list[Stage] = []
    omit_managed_fields: bool | None = None

    def is_about(self, attributes: Attributes) -> bool:
        user = attributes.user
        if self.users and user.name not in self.users:
            return False
        if self.user_groups and not set(self.user_groups) & set(user.groups):
            return False
        if self.verbs and attributes.verb not in self.verbs:
            return False
        if attributes.resource:
            return self._is_about_resource(attributes)
        if self.resources or self.namespaces:
            return False
        return not self.non_resource_urls or any(_leads_to(url, attributes.path) for url in self.non_resource_urls)

    def _is_about_resource(self, attributes: Attributes) -> bool:
        if self.non_resource_urls:
            return False
        if self.namespaces and attributes.namespace not in self.namespaces:
            return False
        return not self.resources or any(group.is_about(attributes) for group in self.resources)


def _leads_to(url: str, path: str) -> bool:
    """A ``*`` at the end stands for anything."""
    return path.startswith(url[:-1]) if url.endswith("*") else path == url


class Policy(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="camel"):
    api_version: str
    kind: str
    rules: Annotated[list[Rule], msgspec.Meta(min_length=1)]
    omit_stages: list[Stage] = []
    omit_managed_fields: bool = False
    metadata: dict[str, Any] | None = None

    def recording(self, attributes: Attributes) -> Recording:
        for rule in self.rules:
            if rule.is_about(attributes):
                break
        else:
            return NOTHING
        level = rule.level
        if level != "None" and (attributes.group, attributes.resource, attributes.subresource) in _CONFIDENTIAL:
            level = "Metadata"
        omits = self.omit_managed_fields if rule.omit_managed_fields is None else rule.omit_managed_fields
        return Recording(level, frozenset(self.omit_stages) | frozenset(rule.omit_stages), omits)


def read_policy(path: Path) -> Policy:
    """Raises ValueError, with the field that is wrong, and OSError."""
    try:
        policy = msgspec.convert(yaml.safe_load(path.read_bytes()), Policy)
    except yaml.YAMLError as fault:
        raise ValueError("not YAML") from fault
    if (policy.api_version, policy.kind) != (_API_VERSION, "Policy"):
        raise ValueError(f"must be a Policy of {_API_VERSION}")
    for i, rule in enumerate(policy.rules):
        if rule.non_resource_urls and (rule.resources or rule.namespaces):
            raise ValueError(f"rules[{i}].nonResourceURLs: cannot be combined with resources or namespaces")
        for url in rule.non_resource_urls:
            if url != "*" and (not url.startswith("/") or "*" in url[:-1]):
                raise ValueError(f"rules[{i}].nonResourceURLs: {url!r} must be a path, with '*' at its end alone")
    return policy
