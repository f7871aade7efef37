"""The authorizer RBAC: what the stored roles and bindings allow. It never denies what others may allow.

Facts of Kubernetes' plugin/pkg/auth/authorizer/rbac.
"""

from collections.abc import Iterable
from typing import Protocol

from apimachinery.types.authorization_v1 import NonResourceRule, ResourceRule
from apimachinery.types.rbac_v1 import PolicyRule
from apiserver.authorization.authorizer import NO_OPINION, Decision, Rules
from apiserver.authorization.rbac.policy import Policy
from apiserver.request import Attributes, User


class Stored(Protocol):
    """A policy that follows what is stored."""

    def loaded(self) -> Policy:
        """Raises ServiceUnavailable while it is not complete."""
        ...


class RBAC:
    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    async def decide(self, attributes: Attributes) -> Decision:
        policy = self._stored.loaded()
        if (reason := policy.allows(attributes)) is not None:
            return Decision("allow", reason)
        missing = policy.missing_roles(attributes.user, attributes.namespace)
        return Decision("no opinion", f"RBAC: {_together(missing)}") if missing else NO_OPINION

    def rules_for(self, user: User, namespace: str) -> Rules:
        """Raises ServiceUnavailable while the stored roles and bindings are not known."""
        policy = self._stored.loaded()
        rules = policy.rules_of(user, namespace)
        missing = policy.missing_roles(user, namespace)
        return Rules(_of_resources(rules), _of_paths(rules), error=_together(missing))


def _of_resources(rules: Iterable[PolicyRule]) -> list[ResourceRule]:
    return [
        ResourceRule(
            verbs=rule.verbs,
            api_groups=rule.api_groups,
            resources=rule.resources,
            resource_names=rule.resource_names,
        )
        for rule in rules
        if rule.resources
    ]


def _of_paths(rules: Iterable[PolicyRule]) -> list[NonResourceRule]:
    return [
        NonResourceRule(verbs=rule.verbs, non_resource_urls=rule.non_resource_urls)
        for rule in rules
        if rule.non_resource_urls
    ]


def _together(faults: list[str]) -> str:
    """Several errors as Kubernetes writes them."""
    return faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]" if faults else ""
