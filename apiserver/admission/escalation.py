"""Nobody grants by roles and bindings what they may not do themselves.

Who writes a role has to have all its permissions, or the verb ``escalate`` on it; who binds one, all of its permissions or
the verb ``bind`` on it. A cluster role that is aggregated from others may become anything, so its author has to have
everything. Always on; the rules and their words are Kubernetes' (pkg/registry/rbac, the ``policybased`` storages).
"""

import json
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from apimachinery import errors, meta
from apimachinery.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding
from apiserver.admission import Plugin
from apiserver.authorization import MASTERS, Authorizer
from apiserver.authorization.rbac import GROUP, Policy, describe, missing, role_of
from apiserver.registry.rbac.policy import StoredPolicy
from apiserver.request import Attributes

_PLURALS: Final = {"Role": "roles", "ClusterRole": "clusterroles"}
_EVERYTHING: Final = (
    PolicyRule(verbs=["*"], api_groups=["*"], resources=["*"]),
    PolicyRule(verbs=["*"], non_resource_urls=["*"]),
)
_NO_AGGREGATION: Final = "must have cluster-admin privileges to use an aggregationRule"

Grant = Role | ClusterRole | RoleBinding | ClusterRoleBinding


class NoEscalation(Plugin[Grant]):
    types = (Role, ClusterRole, RoleBinding, ClusterRoleBinding)

    def __init__(self, stored: StoredPolicy, authorizer: Authorizer) -> None:
        self._stored, self._authorizer = stored, authorizer

    async def validate(self, attributes: Attributes, obj: Grant, old: Grant | None) -> None:
        if MASTERS in attributes.user.groups or (old is not None and _is_housekeeping(obj, old)):
            return
        policy = await self._stored.current()
        if isinstance(obj, Role | ClusterRole):
            await self._check_role(policy, attributes, obj, old)
        else:
            await self._check_binding(policy, attributes, obj)

    async def _check_role(
        self, policy: Policy, attributes: Attributes, role: Role | ClusterRole, old: Grant | None
    ) -> None:
        if await self._may(attributes, "escalate", attributes.resource, attributes.name):
            return
        if why := _excess(policy, attributes, role.rules or ()):
            raise _forbidden(attributes, role, why)
        if (_is_aggregated(role) or _is_aggregated(old)) and _excess(policy, attributes, _EVERYTHING):
            raise _forbidden(attributes, role, _NO_AGGREGATION)

    async def _check_binding(
        self, policy: Policy, attributes: Attributes, binding: RoleBinding | ClusterRoleBinding
    ) -> None:
        role = role_of(binding)
        if await self._may(attributes, "bind", _PLURALS[role.kind], role.name):
            return
        rules = policy.rules(role)
        if rules is None:
            raise errors.not_found(_PLURALS[role.kind], GROUP, role.name)
        if why := _excess(policy, attributes, rules):
            raise _forbidden(attributes, binding, why)

    async def _may(self, attributes: Attributes, verb: str, resource: str, name: str) -> bool:
        asked = Attributes(
            attributes.user,
            verb,
            attributes.path,
            group=GROUP,
            version="*",
            resource=resource,
            namespace=attributes.namespace,
            name=name,
        )
        return (await self._authorizer.decide(asked)).allows


def _excess(policy: Policy, attributes: Attributes, rules: Sequence[PolicyRule]) -> str:
    """What the user would grant without having it, in Kubernetes' words; "" for nothing."""
    user, namespace = attributes.user, attributes.namespace
    excess = missing(rules, policy.rules_of(user, namespace))
    if not excess:
        return ""
    groups = " ".join(map(json.dumps, user.groups))
    why = (
        f"user {json.dumps(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n"
        f"{describe(excess)}"
    )
    faults = policy.missing_roles(user, namespace)
    return f"{why}; resolution errors: [{', '.join(faults)}]" if faults else why


def _forbidden(attributes: Attributes, obj: Grant, why: str) -> errors.Forbidden:
    return errors.forbidden(attributes.resource, attributes.group, meta.name_of(obj), why)


def _is_aggregated(role: Grant | None) -> bool:
    rule = role.aggregation_rule if isinstance(role, ClusterRole) else None
    return rule is not None and bool(rule.cluster_role_selectors)


def _is_housekeeping(obj: Grant, old: Grant) -> bool:
    """Whether an update changes only what lets an object be removed in the end. Labels are more than that: by them roles
    are aggregated."""
    before = old.metadata
    metadata = replace(
        obj.metadata,
        owner_references=before.owner_references,
        finalizers=before.finalizers,
        managed_fields=before.managed_fields,
        resource_version=before.resource_version,
    )
    return bool(replace(obj, metadata=metadata) == old)
