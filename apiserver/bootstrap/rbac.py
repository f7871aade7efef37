"""The default roles and bindings, created and reconciled as in Kubernetes.

At every start missing rules of a role and missing subjects of a binding are restored; what an administrator added
stays. An object whose annotation says ``autoupdate: "false"`` is left alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

from apimachinery import codec, meta
from apimachinery.core.well_known import BOOTSTRAPPING_LABEL, RBAC_AUTOUPDATE_ANNOTATION
from apimachinery.types.meta_v1 import LabelSelector, ObjectMeta
from apimachinery.types.objects import KubeObject
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
from apiserver.authorization.rbac import GROUP, is_covered
from apiserver.bootstrap.objects import Objects
from apiserver.bootstrap.rbac_controllers import CONTROLLERS
from apiserver.bootstrap.rbac_namespaced import NAMESPACED
from apiserver.bootstrap.rbac_rules import DefaultRole
from apiserver.bootstrap.rbac_users import USERS

_LABELS: Final = {BOOTSTRAPPING_LABEL: "rbac-defaults"}
_CONTROLLER: Final = "system:controller:"
_SYSTEM: Final = "kube-system"

AnyRole = TypeVar("AnyRole", ClusterRole, Role)
AnyBinding = TypeVar("AnyBinding", ClusterRoleBinding, RoleBinding)


async def make(objects: Objects) -> None:
    """Raises ApiError, and is safe to repeat."""
    for cluster_role in cluster_roles():
        await objects.reconcile(cluster_role, merged_role)
    for cluster_binding in cluster_role_bindings():
        await _bind(objects, cluster_binding)
    for default in NAMESPACED:
        role = Role(metadata=_metadata(default.name, default.namespace), rules=list(default.rules))
        await objects.reconcile(role, merged_role)
        binding = RoleBinding(
            metadata=_metadata(default.binding or default.name, default.namespace),
            role_ref=RoleRef(api_group=GROUP, kind="Role", name=default.name),
            subjects=_subjects(default.subjects),
        )
        await _bind(objects, binding)


async def _bind(objects: Objects, binding: AnyBinding) -> None:
    """The role of a binding cannot be changed, so a binding to another role is replaced."""
    existing = await objects.find(type(binding), meta.key_of(binding))
    if existing is not None and existing.role_ref != binding.role_ref and _may_change(existing):
        await objects.replace(binding)
    else:
        await objects.reconcile(binding, merged_binding)


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
    for role in sorted(USERS, key=lambda role: role.name):
        if role.part_of == whole:
            yield from _parts(role.whole) if role.whole else (role,)


def _distinct(rules: Iterable[PolicyRule]) -> list[PolicyRule]:
    distinct: list[PolicyRule] = []
    for rule in rules:
        if rule not in distinct:
            distinct.append(rule)
    return distinct


def cluster_role_bindings() -> Iterator[ClusterRoleBinding]:
    subjects_of = {role.name: role.subjects for role in USERS if role.subjects is not None}
    subjects_of |= {_CONTROLLER + name: (f"account:{name}",) for name in CONTROLLERS}
    for name, subjects in subjects_of.items():
        yield ClusterRoleBinding(
            metadata=_metadata(name),
            role_ref=RoleRef(api_group=GROUP, kind="ClusterRole", name=name),
            subjects=_subjects(subjects),
        )


def _aggregate(role: str) -> str:
    return f"{GROUP}/aggregate-to-{role}"


def _metadata(name: str, namespace: str = "") -> ObjectMeta:
    return ObjectMeta(
        name=name, namespace=namespace or None, labels=dict(_LABELS), annotations={RBAC_AUTOUPDATE_ANNOTATION: "true"}
    )


def _subjects(words: Sequence[str]) -> list[Subject] | None:
    subjects = []
    for word in words:
        kind, _, name = word.partition(":")
        if kind == "account":
            subjects.append(Subject(kind="ServiceAccount", name=name, namespace=_SYSTEM))
        else:
            subjects.append(Subject(kind=kind.capitalize(), api_group=GROUP, name=name))
    return subjects or None


# -- what of an existing object has to change


def merged_role(existing: AnyRole, default: AnyRole) -> AnyRole | None:
    """A role with what it lacks; None if it lacks nothing, or may not be changed."""
    if not _may_change(existing):
        return None
    changed = codec.copy(existing)
    _merge_metadata(changed, default)
    missing: list[PolicyRule] = [rule for rule in default.rules or () if not is_covered(rule, existing.rules or ())]
    if missing:
        changed.rules = [*(existing.rules or ()), *missing]
    if isinstance(default, ClusterRole) and isinstance(changed, ClusterRole) and default.aggregation_rule is not None:
        defaults: list[LabelSelector] = default.aggregation_rule.cluster_role_selectors or []
        existing_selectors: list[LabelSelector] = (
            changed.aggregation_rule.cluster_role_selectors or [] if changed.aggregation_rule else []
        )
        lacking: list[LabelSelector] = [selector for selector in defaults if selector not in existing_selectors]
        if lacking:
            changed.aggregation_rule = AggregationRule(cluster_role_selectors=[*existing_selectors, *lacking])
    return changed if changed != existing else None


def merged_binding(existing: AnyBinding, default: AnyBinding) -> AnyBinding | None:
    """A binding with the subjects that it lacks; None as for a role."""
    if not _may_change(existing):
        return None
    changed = codec.copy(existing)
    _merge_metadata(changed, default)
    missing: list[Subject] = [subject for subject in default.subjects or () if subject not in (existing.subjects or ())]
    if missing:
        changed.subjects = [*(existing.subjects or ()), *missing]
    return changed if changed != existing else None


def _may_change(existing: KubeObject) -> bool:
    return (existing.metadata.annotations or {}).get(RBAC_AUTOUPDATE_ANNOTATION) != "false"


def _merge_metadata(changed: KubeObject, default: KubeObject) -> None:
    """Existing labels and annotations win over the default ones."""
    changed.metadata.labels = {**(default.metadata.labels or {}), **(changed.metadata.labels or {})}
    changed.metadata.annotations = {**(default.metadata.annotations or {}), **(changed.metadata.annotations or {})}
