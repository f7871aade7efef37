"""The default roles and bindings, made and reconciled as Kubernetes does it.

At every start what is missing of a role's rules or a binding's subjects is put back; what an administrator added
stays. An object whose annotation says ``autoupdate: "false"`` is left alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any, Final

from apimachinery import codec, meta
from apimachinery.types.meta_v1 import LabelSelector, ObjectMeta
from apimachinery.types.rbac_v1 import (
    AggregationRule,
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    Role,
    RoleBinding,
    RoleRef,
    Subject,
)
from apiserver.bootstrap.objects import Objects
from apiserver.bootstrap.rbac_controllers import CONTROLLERS
from apiserver.bootstrap.rbac_namespaced import NAMESPACED
from apiserver.bootstrap.rbac_rules import DefaultRole
from apiserver.bootstrap.rbac_users import USERS

GROUP: Final = "rbac.authorization.k8s.io"
AUTOUPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"
_LABELS: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_CONTROLLER: Final = "system:controller:"
_SYSTEM: Final = "kube-system"


async def make(objects: Objects) -> None:
    """Raises ApiError, and is safe to repeat."""
    for role in cluster_roles():
        await objects.reconcile(GROUP, "clusterroles", role, merged_role)
    for binding in cluster_role_bindings():
        await _bind(objects, "clusterrolebindings", binding)
    for one in NAMESPACED:
        wanted = Role(metadata=_metadata(one.name, one.namespace), rules=list(one.rules))
        await objects.reconcile(GROUP, "roles", wanted, merged_role)
        await _bind(objects, "rolebindings", RoleBinding(
            metadata=_metadata(one.binding or one.name, one.namespace),
            role_ref=RoleRef(api_group=GROUP, kind="Role", name=one.name),
            subjects=_subjects(one.subjects),
        ))  # fmt: skip


async def _bind(objects: Objects, plural: str, wanted: ClusterRoleBinding | RoleBinding) -> None:
    """Which role a binding is about cannot be changed, so one about another role is made anew."""
    found = await objects.find(GROUP, plural, meta.key_of(wanted))
    if found is not None and found.role_ref != wanted.role_ref and _may_change(found):
        await objects.replace(GROUP, plural, wanted)
    else:
        await objects.reconcile(GROUP, plural, wanted, merged_binding)


def cluster_roles() -> Iterator[ClusterRole]:
    """All of them; an aggregated one has the rules of its parts from the start."""
    for role in USERS:
        metadata = _metadata(role.name)
        if role.part_of:
            metadata.labels = {**_LABELS, _aggregate(role.part_of): "true"}
        if not role.whole:
            yield ClusterRole(metadata=metadata, rules=list(role.rules))
            continue
        selector = LabelSelector(match_labels={_aggregate(role.whole): "true"})
        yield ClusterRole(
            metadata=metadata,
            aggregation_rule=AggregationRule(cluster_role_selectors=[selector]),
            rules=_distinct(rule for part in _parts(role.whole) for rule in part.rules),
        )
    for name, rules in CONTROLLERS.items():
        yield ClusterRole(metadata=_metadata(_CONTROLLER + name), rules=list(rules))


def _parts(whole: str) -> Iterator[DefaultRole]:
    """The roles with rules of their own that an aggregated one is made of, by name, as the aggregation has them."""
    for role in sorted(USERS, key=lambda one: one.name):
        if role.part_of == whole:
            yield from _parts(role.whole) if role.whole else (role,)


def _distinct(rules: Iterable[PolicyRule]) -> list[PolicyRule]:
    found: list[PolicyRule] = []
    for rule in rules:
        if rule not in found:
            found.append(rule)
    return found


def cluster_role_bindings() -> Iterator[ClusterRoleBinding]:
    given = {role.name: role.subjects for role in USERS if role.subjects is not None}
    given |= {_CONTROLLER + name: (f"account:{name}",) for name in CONTROLLERS}
    for name, subjects in given.items():
        yield ClusterRoleBinding(
            metadata=_metadata(name),
            role_ref=RoleRef(api_group=GROUP, kind="ClusterRole", name=name),
            subjects=_subjects(subjects),
        )


def _aggregate(role: str) -> str:
    return f"{GROUP}/aggregate-to-{role}"


def _metadata(name: str, namespace: str = "") -> ObjectMeta:
    return ObjectMeta(
        name=name, namespace=namespace or None, labels=dict(_LABELS), annotations={AUTOUPDATE: "true"}
    )


def _subjects(words: Sequence[str]) -> list[Subject] | None:
    found = []
    for word in words:
        kind, _, name = word.partition(":")
        if kind == "account":
            found.append(Subject(kind="ServiceAccount", name=name, namespace=_SYSTEM))
        else:
            found.append(Subject(kind=kind.capitalize(), api_group=GROUP, name=name))
    return found or None


# -- what of an object that is there has to change


def merged_role(found: Any, wanted: Any) -> Any | None:
    """A role with what it lacks; None if it lacks nothing, or is not to be touched."""
    if not _may_change(found):
        return None
    changed = codec.copy(found)
    _merge_metadata(changed, wanted)
    missing = [rule for rule in wanted.rules or () if not _is_covered(rule, found.rules or ())]
    if missing:
        changed.rules = [*(found.rules or ()), *missing]
    ours = getattr(wanted, "aggregation_rule", None)
    if ours is not None:
        _merge_aggregation(changed, ours)
    return changed if changed != found else None


def _merge_aggregation(changed: ClusterRole, ours: AggregationRule) -> None:
    theirs = changed.aggregation_rule.cluster_role_selectors if changed.aggregation_rule else None
    missing = [one for one in ours.cluster_role_selectors or () if one not in (theirs or ())]
    if missing:
        changed.aggregation_rule = AggregationRule(cluster_role_selectors=[*(theirs or ()), *missing])


def merged_binding(found: Any, wanted: Any) -> Any | None:
    """A binding with the subjects that it lacks; None as for a role."""
    if not _may_change(found):
        return None
    changed = codec.copy(found)
    _merge_metadata(changed, wanted)
    missing = [one for one in wanted.subjects or () if one not in (found.subjects or ())]
    if missing:
        changed.subjects = [*(found.subjects or ()), *missing]
    return changed if changed != found else None


def _may_change(found: Any) -> bool:
    return (found.metadata.annotations or {}).get(AUTOUPDATE) != "false"


def _merge_metadata(changed: Any, wanted: Any) -> None:
    """What is there wins over what it would be."""
    changed.metadata.labels = {**(wanted.metadata.labels or {}), **(changed.metadata.labels or {})}
    changed.metadata.annotations = {**(wanted.metadata.annotations or {}), **(changed.metadata.annotations or {})}


def _is_covered(rule: PolicyRule, owned: Sequence[PolicyRule]) -> bool:
    """Whether everything that a rule allows is allowed by these already, by one or several of them together."""
    return all(any(_allows(one, simple) for one in owned) for simple in _simple(rule))


def _simple(rule: PolicyRule) -> Iterator[tuple[str, str, str, str, str]]:
    """Verb, group, resource, object and path of all that a rule allows."""
    for verb in rule.verbs:
        for path in rule.non_resource_urls or ():
            yield verb, "", "", "", path
        for group, resource, name in product(
            rule.api_groups or (), rule.resources or (), rule.resource_names or ("",)
        ):
            yield verb, group, resource, name, ""


def _allows(rule: PolicyRule, simple: tuple[str, str, str, str, str]) -> bool:
    verb, group, resource, name, path = simple
    if not {verb, "*"} & set(rule.verbs):
        return False
    if path:
        return any(one in (path, "*") or (one.endswith("*") and path.startswith(one[:-1]))
                   for one in rule.non_resource_urls or ())  # fmt: skip
    resources = {resource, "*", f"*/{resource.partition('/')[2]}" if "/" in resource else "*"}
    return bool(
        {group, "*"} & set(rule.api_groups or ())
        and resources & set(rule.resources or ())
        and (not rule.resource_names or name in rule.resource_names)
    )
