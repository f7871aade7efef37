"""What a cluster has from the start: the tables of the default objects, and what a start changes of what is there."""

import pytest

from apimachinery import codec
from apimachinery.core.well_known import FLOW_CONTROL_AUTOUPDATE_ANNOTATION, RBAC_AUTOUPDATE_ANNOTATION
from apimachinery.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Subject
from apiserver.bootstrap import flowcontrol, rbac
from apiserver.bootstrap.apiservices import local_service
from apiserver.bootstrap.rbac_rules import rule
from tests.unit.apiserver.registry.rows import ROWS, row

ROLES = {role.metadata.name: role for role in rbac.cluster_roles()}
BINDINGS = {binding.metadata.name: binding for binding in rbac.cluster_role_bindings()}


def every_default() -> list[tuple[str, object]]:
    return [
        *(("clusterroles", role) for role in ROLES.values()),
        *(("clusterrolebindings", binding) for binding in BINDINGS.values()),
        *(("prioritylevelconfigurations", level) for level in flowcontrol.levels()),
        *(("flowschemas", schema) for schema in flowcontrol.schemas()),
        *(("apiservices", local_service(info.resource.group, info.resource.version)) for info in ROWS),
    ]


@pytest.mark.parametrize("plural", sorted({plural for plural, _ in every_default()}))
def test_every_default_object_is_valid_and_complete(plural: str) -> None:
    for of, obj in every_default():
        if of == plural:
            strategy = row(plural).strategy
            strategy.default(obj)
            assert list(strategy.validate(obj)) == []


def test_roles_are_named_once_and_every_binding_names_one() -> None:
    assert len(ROLES) == sum(1 for _ in rbac.cluster_roles())
    assert {binding.role_ref.name for binding in BINDINGS.values()} <= set(ROLES)


def test_the_default_roles_carry_kubernetes_label_and_annotation() -> None:
    for obj in (*ROLES.values(), *BINDINGS.values()):
        assert (obj.metadata.labels or {})["kubernetes.io/bootstrapping"] == "rbac-defaults"
        assert obj.metadata.annotations == {"rbac.authorization.kubernetes.io/autoupdate": "true"}


def test_admin_may_do_what_edit_may_and_edit_what_view_may() -> None:
    admin, edit, view = (ROLES[name].rules or [] for name in ("admin", "edit", "view"))
    assert view
    assert all(rule in edit for rule in view)
    assert all(rule in admin for rule in edit)
    assert rule("create", "localsubjectaccessreviews", "authorization.k8s.io") in admin
    assert ROLES["admin"].aggregation_rule is not None


@pytest.mark.parametrize(("name", "kind", "who"), [
    ("cluster-admin", "Group", "system:masters"), ("system:node-proxier", "User", "system:kube-proxy"),
    ("system:kube-scheduler", "User", "system:kube-scheduler"), ("system:kube-dns", "ServiceAccount", "kube-dns"),
    ("system:controller:job-controller", "ServiceAccount", "job-controller"),
])  # fmt: skip
def test_a_role_is_bound_to_who_needs_it(name: str, kind: str, who: str) -> None:
    subjects = BINDINGS[name].subjects or []
    assert [(subject.kind, subject.name) for subject in subjects] == [(kind, who)]


def copies(role: str = "system:basic-user") -> tuple[ClusterRole, ClusterRole]:
    return codec.copy(ROLES[role]), ROLES[role]


def test_a_role_as_it_should_be_is_left_alone() -> None:
    assert rbac.merged_role(*copies()) is None


def test_rules_that_an_administrator_added_stay_and_those_taken_away_come_back() -> None:
    existing, default = copies()
    own = PolicyRule(verbs=["get"], api_groups=[""], resources=["pods"])
    existing.rules = [own]
    merged = rbac.merged_role(existing, default)
    assert merged.rules == [own, *(default.rules or ())]
    assert rbac.merged_role(merged, default) is None


def test_a_rule_that_wider_ones_cover_together_is_not_put_back() -> None:
    existing, default = copies()
    existing.rules = [rule("*", "selfsubjectaccessreviews selfsubjectreviews", "*"), rule("create", "*", "*")]
    assert rbac.merged_role(existing, default) is None


def test_a_rule_about_one_object_does_not_cover_all_of_the_kind() -> None:
    existing, default = copies()
    existing.rules = [rule("*", "*", "*", names="a")]
    assert rbac.merged_role(existing, default).rules == [*existing.rules, *(default.rules or ())]


def test_a_role_that_opts_out_is_not_touched() -> None:
    existing, default = copies()
    existing.rules, existing.metadata.annotations = None, {RBAC_AUTOUPDATE_ANNOTATION: "false"}
    assert rbac.merged_role(existing, default) is None


def test_subjects_that_an_administrator_added_stay() -> None:
    default = BINDINGS["cluster-admin"]
    existing: ClusterRoleBinding = codec.copy(default)
    own = Subject(kind="User", api_group=rbac.GROUP, name="jane")
    existing.subjects = [own]
    merged = rbac.merged_binding(existing, default)
    assert [subject.name for subject in merged.subjects] == ["jane", "system:masters"]
    assert rbac.merged_binding(merged, default) is None


def test_a_changed_flow_schema_is_put_right_unless_it_opts_out() -> None:
    default = next(schema for schema in flowcontrol.schemas() if schema.metadata.name == "service-accounts")
    existing = codec.copy(default)
    assert flowcontrol.merged(existing, default) is None
    existing.spec.matching_precedence = 7
    assert flowcontrol.merged(existing, default).spec == default.spec
    existing.metadata.annotations = {FLOW_CONTROL_AUTOUPDATE_ANNOTATION: "false"}
    assert flowcontrol.merged(existing, default) is None


def test_a_mandatory_priority_level_cannot_opt_out() -> None:
    default = next(level for level in flowcontrol.levels() if level.metadata.name == "catch-all")
    existing = codec.copy(default)
    existing.metadata.annotations = None
    existing.spec.limited = None
    assert flowcontrol.merged(existing, default) is not None


@pytest.mark.parametrize(("group", "version", "priorities", "managed"), [
    ("", "v1", (18000, 1), "onstart"), ("apps", "v1", (17800, 15), "onstart"), ("autoscaling", "v2", (17500, 30), "onstart"),
    ("example.com", "v1alpha1", (1000, 100), "true"),
])  # fmt: skip
def test_a_local_api_service_has_its_groups_priority(
    group: str, version: str, priorities: tuple[int, int], managed: str
) -> None:
    service = local_service(group, version)
    assert service.metadata.name == f"{version}.{group}"
    assert (service.spec.group_priority_minimum, service.spec.version_priority) == priorities
    assert service.metadata.labels == {"kube-aggregator.kubernetes.io/automanaged": managed}
