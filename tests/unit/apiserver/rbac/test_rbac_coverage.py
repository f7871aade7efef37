"""What rules allow of others, against a comparison permission by permission; and how the rest is worded."""

from collections.abc import Iterator
from itertools import product
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.types.rbac_v1 import PolicyRule
from apiserver.authorization.rbac import coverage, describe, missing

RESOURCES = ("pods", "pods/log", "*/log", "*")
PATHS = ("*", "/api", "/api/*", "/api/v1")
Single = tuple[str, ...]


def words(*choices: str, least: int = 1) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(choices), min_size=least, max_size=3)


RULES = st.lists(
    st.one_of(
        st.builds(
            PolicyRule,
            verbs=words("get", "list", "*"),
            api_groups=words("", "apps", "*"),
            resources=words(*RESOURCES),
            resource_names=st.none() | words("one", "two", least=0),
        ),
        st.builds(PolicyRule, verbs=words("get", "post", "*"), non_resource_urls=words(*PATHS)),
    ),
    max_size=4,
)


def singles(rule: PolicyRule) -> Iterator[Single]:
    names = rule.resource_names or (None,)
    yield from product(rule.verbs, rule.api_groups or (), rule.resources or (), names)
    yield from product(rule.verbs, rule.non_resource_urls or ())


def allows(rule: PolicyRule, single: Single) -> bool:
    if not {"*", single[0]} & set(rule.verbs):
        return False
    if len(single) == 2:
        path = single[1]
        return any(
            url == path or (url.endswith("*") and path.startswith(url.rstrip("*")))
            for url in rule.non_resource_urls or ()
        )
    _, group, resource, name = single
    resources = {"*", resource} | ({f"*/{resource.partition('/')[2]}"} if "/" in resource else set())
    names = rule.resource_names
    return bool(
        {"*", group} & set(rule.api_groups or ())
        and resources & set(rule.resources or ())
        and (not names or name in names)
    )


@given(RULES, RULES)
@settings(max_examples=300, deadline=None)
def test_what_is_missing_is_what_no_owned_rule_allows(rules: list[PolicyRule], owned: list[PolicyRule]) -> None:
    lacking = {single for rule in rules for single in singles(rule) if not any(allows(own, single) for own in owned)}
    assert {single for rule in missing(rules, owned) for single in singles(rule)} == lacking


@given(RULES, RULES)
@settings(max_examples=200, deadline=None)
def test_a_rule_that_combines_too_much_is_covered_by_one_rule_or_not_at_all(
    rules: list[PolicyRule], owned: list[PolicyRule]
) -> None:
    with patch.object(coverage, "_MOST", -1):
        lacking = missing(rules, owned)
    for rule in rules:
        is_covered = any(all(allows(own, single) for single in singles(rule)) for own in owned)
        assert (rule in lacking) == (not is_covered)


def test_millions_of_combinations_are_refused_at_once() -> None:
    many = [str(number) for number in range(1000)]
    rule = PolicyRule(verbs=many, api_groups=many, resources=many, resource_names=many)
    assert missing([rule], [PolicyRule(verbs=["get"], api_groups=["*"], resources=["*"])]) == [rule]
    assert not missing([rule], [PolicyRule(verbs=["*"], api_groups=["*"], resources=["*"])])


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (
            PolicyRule(verbs=["get", "list"], api_groups=["", "apps"], resources=["pods"]),
            '{APIGroups:["" "apps"], Resources:["pods"], Verbs:["get" "list"]}',
        ),
        (
            PolicyRule(verbs=["get"], api_groups=[""], resources=["pods"], resource_names=["web"]),
            '{APIGroups:[""], Resources:["pods"], ResourceNames:["web"], Verbs:["get"]}',
        ),
        (PolicyRule(verbs=["get"], non_resource_urls=["/x"]), '{NonResourceURLs:["/x"], Verbs:["get"]}'),
    ],
)
def test_a_rule_is_described_in_kubernetes_words(rule: PolicyRule, line: str) -> None:
    assert describe([rule]) == line


def test_verbs_of_the_same_resource_are_named_together() -> None:
    rule = PolicyRule(verbs=["get", "list", "watch"], api_groups=[""], resources=["pods", "secrets"])
    owned = PolicyRule(verbs=["get"], api_groups=[""], resources=["secrets"])
    assert describe(missing([rule], [owned])).splitlines() == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list" "watch"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["list" "watch"]}',
    ]


def test_a_refusal_names_a_hundred_rules_at_most() -> None:
    rules = [PolicyRule(verbs=["get"], non_resource_urls=[f"/{number:03}"]) for number in range(150)]
    lines = describe(rules).splitlines()
    assert (len(lines), lines[-1]) == (101, "and 50 more")
