"""Roles and cluster roles: sets of allowed requests."""

from collections.abc import Iterator, Sequence

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.names import NameRule
from apimachinery.types.rbac_v1 import ClusterRole, PolicyRule, Role
from apiserver.registry import field_rules
from apiserver.registry.default_columns import DEFAULT_COLUMNS
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy


def _rules(rules: Sequence[PolicyRule], *, namespaced: bool) -> Iterator[FieldError]:
    for i, rule in enumerate(rules):
        path = Path("rules")[i]
        if not rule.verbs:
            yield (path / "verbs").required("verbs must contain at least one value")
        if rule.non_resource_urls:
            if namespaced:
                yield (path / "nonResourceURLs").invalid(
                    rule.non_resource_urls, "namespaced rules cannot apply to non-resource URLs"
                )
            if rule.api_groups or rule.resources or rule.resource_names:
                yield (path / "nonResourceURLs").invalid(
                    rule.non_resource_urls, "rules cannot apply to both regular resources and non-resource URLs"
                )
            continue
        if not rule.api_groups:
            yield (path / "apiGroups").required("resource rules must supply at least one api group")
        if not rule.resources:
            yield (path / "resources").required("resource rules must supply at least one resource")


class RoleKind(Strategy[Role]):
    name_rule: NameRule = staticmethod(names.path_segment)
    allow_create_on_update = True

    def validate(self, obj: Role) -> Iterator[FieldError]:
        yield from _rules(obj.rules or (), namespaced=True)


class ClusterRoleKind(Strategy[ClusterRole]):
    name_rule: NameRule = staticmethod(names.path_segment)
    allow_create_on_update = True

    def validate(self, obj: ClusterRole) -> Iterator[FieldError]:
        yield from _rules(obj.rules or (), namespaced=False)
        if obj.aggregation_rule is not None:
            path, selectors = (
                Path("aggregationRule", "clusterRoleSelectors"),
                obj.aggregation_rule.cluster_role_selectors,
            )
            if not selectors:
                yield path.required("at least one clusterRoleSelector required if aggregationRule is non-nil")
            for i, selector in enumerate(selectors or ()):
                yield from field_rules.validate_selector(path[i], selector)


ROLES = StoredResource(Role, RoleKind(), singular="role", columns=DEFAULT_COLUMNS)
CLUSTER_ROLES = StoredResource(ClusterRole, ClusterRoleKind(), singular="clusterrole", columns=DEFAULT_COLUMNS)
