"""Which rules an aggregated cluster role gets."""

from apimachinery.types.meta_v1 import LabelSelector, LabelSelectorRequirement, ObjectMeta
from apimachinery.types.rbac_v1 import AggregationRule, ClusterRole, PolicyRule
from apiserver.bootstrap import rbac
from controller_manager.clusterrole_aggregation import aggregated_rules

PODS = PolicyRule(verbs=["get"], api_groups=[""], resources=["pods"])
NODES = PolicyRule(verbs=["get"], api_groups=[""], resources=["nodes"])
SECRETS = PolicyRule(verbs=["get"], api_groups=[""], resources=["secrets"])


def role(name: str, *rules: PolicyRule, selectors: list[LabelSelector] | None = None, **labels: str) -> ClusterRole:
    rule = AggregationRule(cluster_role_selectors=selectors) if selectors is not None else None
    return ClusterRole(metadata=ObjectMeta(name=name, labels=labels), rules=list(rules), aggregation_rule=rule)


def test_it_has_the_rules_of_all_selected_roles_once_by_selector_and_name() -> None:
    whole = role(
        "whole",
        SECRETS,
        selectors=[
            LabelSelector(match_labels={"part": "one"}),
            LabelSelector(match_expressions=[LabelSelectorRequirement(key="more", operator="Exists")]),
        ],
        part="one",
    )
    roles = [
        whole,
        role("c", NODES, part="one"),
        role("b", PODS, part="one"),
        role("a", PODS, SECRETS, more=""),
        role("d", SECRETS),
    ]
    assert aggregated_rules(whole, roles) == [PODS, NODES, SECRETS]


def test_without_an_aggregation_rule_it_keeps_its_own() -> None:
    assert aggregated_rules(role("plain", PODS), [role("other", NODES)]) is None


def test_if_nothing_is_selected_it_has_none() -> None:
    whole = role("whole", PODS, selectors=[LabelSelector(match_labels={"part": "one"})])
    assert aggregated_rules(whole, [whole, role("other", NODES)]) == []


def test_the_default_roles_begin_with_what_they_are_aggregated_to() -> None:
    roles = list(rbac.cluster_roles())
    for whole in roles:
        assert aggregated_rules(whole, roles) in (None, whole.rules)
