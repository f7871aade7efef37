"""RBAC decides as the plain reading of Kubernetes' rules does, whatever is stored, and in whatever order it came."""

from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery import errors
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject
from apiserver.authorization.rbac import GROUP, RBAC, Policy
from apiserver.authorization.rbac import policy as policy_module
from apiserver.authorization.rbac import rules as rules_module
from apiserver.request import Attributes, User

Object = Role | ClusterRole | RoleBinding | ClusterRoleBinding

NAMES = ("a", "b")
NAMESPACES = ("x", "y")
VERBS = ("get", "list", "*")
GROUPS = ("", "apps", "*")
RESOURCES = ("pods", "pods/log", "*/log", "*", "deployments")
PATHS = ("*", "/healthz", "/healthz/*", "/api", "/a*")


class Loaded:
    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def loaded(self) -> Policy:
        return self.policy


class Unloaded:
    def loaded(self) -> Policy:
        raise errors.ServiceUnavailable("not loaded")


# -- the plain reading


def allows(rule: PolicyRule, asked: Attributes) -> bool:
    if not {"*", asked.verb} & set(rule.verbs):
        return False
    if not asked.resource:
        return any(
            asked.path == url or (url.endswith("*") and asked.path.startswith(url.rstrip("*")))
            for url in rule.non_resource_urls or ()
        )
    whole = asked.resource + (f"/{asked.subresource}" if asked.subresource else "")
    resources = {"*", whole} | ({f"*/{asked.subresource}"} if asked.subresource else set())
    names = rule.resource_names or ()
    return bool(
        {"*", asked.group} & set(rule.api_groups or ())
        and resources & set(rule.resources or ())
        and (not names or (asked.name != "" and asked.name in names))
    )


def is_about(subject: Subject, namespace: str, user: User) -> bool:
    if subject.kind == "User":
        return subject.name == user.name
    if subject.kind == "Group":
        return subject.name in user.groups
    of = subject.namespace or namespace
    return bool(of) and user.name == f"system:serviceaccount:{of}:{subject.name}"


def plainly_allowed(objects: Sequence[Object], asked: Attributes) -> bool:
    roles = {(type(obj), obj.metadata.namespace or "", obj.metadata.name): obj.rules or ()
             for obj in objects if isinstance(obj, Role | ClusterRole)}  # fmt: skip
    for binding in objects:
        if not isinstance(binding, RoleBinding | ClusterRoleBinding):
            continue
        namespace = binding.metadata.namespace or ""
        if isinstance(binding, RoleBinding) and namespace != asked.namespace:
            continue
        if not any(is_about(subject, namespace, asked.user) for subject in binding.subjects or ()):
            continue
        ref = binding.role_ref
        key = (Role, namespace, ref.name) if ref.kind == "Role" else (ClusterRole, "", ref.name)
        if any(allows(rule, asked) for rule in roles.get(key, ())):
            return True
    return False


# -- everything that may be stored and asked


def some(words: Sequence[str], least: int = 1) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), min_size=least, max_size=3)


RULES = st.lists(
    st.one_of(
        st.builds(
            PolicyRule,
            verbs=some(VERBS, 0),
            api_groups=some(GROUPS, 0),
            resources=some(RESOURCES),
            resource_names=st.none() | some(("one", "two"), 0),
        ),
        st.builds(PolicyRule, verbs=some(VERBS), non_resource_urls=some(PATHS)),
    ),
    max_size=3,
)
SUBJECTS = st.lists(
    st.one_of(
        st.builds(Subject, kind=st.just("User"), name=st.sampled_from(("ann", "system:serviceaccount:x:bot"))),
        st.builds(Subject, kind=st.just("Group"), name=st.sampled_from(("devs", "ops"))),
        st.builds(
            Subject, kind=st.just("ServiceAccount"), name=st.just("bot"), namespace=st.sampled_from((None, *NAMESPACES))
        ),
    ),
    max_size=3,
)


def metadata(namespaces: Sequence[str | None]) -> st.SearchStrategy[ObjectMeta]:
    return st.builds(ObjectMeta, name=st.sampled_from(NAMES), namespace=st.sampled_from(namespaces))


def refs(*kinds: str) -> st.SearchStrategy[RoleRef]:
    return st.builds(RoleRef, api_group=st.just(GROUP), kind=st.sampled_from(kinds), name=st.sampled_from(NAMES))


OBJECTS: st.SearchStrategy[Object] = st.one_of(
    st.builds(Role, metadata=metadata(NAMESPACES), rules=RULES),
    st.builds(ClusterRole, metadata=metadata([None]), rules=RULES),
    st.builds(RoleBinding, metadata=metadata(NAMESPACES), role_ref=refs("Role", "ClusterRole"), subjects=SUBJECTS),
    st.builds(ClusterRoleBinding, metadata=metadata([None]), role_ref=refs("ClusterRole"), subjects=SUBJECTS),
)
USERS = st.sampled_from(
    (
        User("ann"),
        User("ann", groups=("devs",)),
        User("bob", groups=("ops", "devs")),
        User("bob"),
        User("system:serviceaccount:x:bot"),
    )
)
ASKED = st.one_of(
    st.builds(
        Attributes,
        USERS,
        st.sampled_from(("get", "list", "watch")),
        st.just("/any"),
        group=st.sampled_from(("", "apps", "batch")),
        resource=st.sampled_from(("pods", "deployments", "jobs")),
        subresource=st.sampled_from(("", "log", "scale")),
        namespace=st.sampled_from(("", *NAMESPACES)),
        name=st.sampled_from(("", "one", "three")),
    ),
    st.builds(
        Attributes,
        USERS,
        st.sampled_from(("get", "post")),
        st.sampled_from(("/healthz", "/healthz/etcd", "/api", "/b")),
    ),
)
Change = tuple[Object, bool]


def key_of(obj: Object) -> tuple[type[Object], str]:
    return type(obj), f"/registry/{type(obj).__name__}/{obj.metadata.namespace or '-'}/{obj.metadata.name}"


def apply(policy: Policy, stored: dict[tuple[type[Object], str], Object], change: Change) -> None:
    obj, exists = change
    kind, key = key_of(obj)
    part = {Role: policy.roles, ClusterRole: policy.cluster_roles, RoleBinding: policy.role_bindings,
            ClusterRoleBinding: policy.cluster_role_bindings}[kind]  # fmt: skip
    if exists:
        stored[kind, key] = obj
        part.put(key, obj)  # type: ignore[attr-defined]
    else:
        stored.pop((kind, key), None)
        part.drop(key)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("few", "wide"), [(8, 256), (0, 256), (8, 0)], ids=["roles alone", "roles together", "rules compared"]
)
@given(
    st.lists(st.tuples(OBJECTS, st.integers(0, 4).map(bool)), max_size=16),
    st.lists(st.tuples(OBJECTS, st.booleans()), max_size=6),
    st.lists(ASKED, min_size=3, max_size=6),
)
@settings(max_examples=100, deadline=None)
async def test_it_decides_as_the_plain_reading_of_the_rules_does_through_all_changes(
    few: int, wide: int, first: list[Change], later: list[Change], questions: list[Attributes]
) -> None:
    with patch.multiple(policy_module, _FEW=few, _OFTEN=1), patch.object(rules_module, "_WIDE", wide):
        await decides_plainly(first, later, questions)


async def decides_plainly(first: list[Change], later: list[Change], questions: list[Attributes]) -> None:
    policy, stored = Policy(), dict[tuple[type[Object], str], Object]()
    rbac = RBAC(Loaded(policy))
    for change in first:
        apply(policy, stored, change)
    for number in range(len(later) + 1):
        if number:
            apply(policy, stored, later[number - 1])
        for asked in questions:
            decision = await rbac.decide(asked)
            assert decision.allows == plainly_allowed(list(stored.values()), asked)
            assert decision.outcome != "deny"


@given(st.lists(OBJECTS, max_size=16))
@settings(max_examples=100, deadline=None)
def test_nothing_remains_of_what_is_removed(objects: list[Object]) -> None:
    policy, stored = Policy(), dict[tuple[type[Object], str], Object]()
    for obj in objects:
        apply(policy, stored, (obj, True))
    for part in (policy.roles, policy.cluster_roles, policy.role_bindings, policy.cluster_role_bindings):
        part.clear()
    assert (policy._grants, policy._holders, policy._roles, policy._missing) == ({}, {}, {}, set())


# -- the words


def role(name: str, *rules: PolicyRule) -> ClusterRole:
    return ClusterRole(metadata=ObjectMeta(name=name), rules=list(rules))


def binding(name: str, of: str, *subjects: Subject) -> ClusterRoleBinding:
    return ClusterRoleBinding(
        metadata=ObjectMeta(name=name),
        role_ref=RoleRef(api_group=GROUP, kind="ClusterRole", name=of),
        subjects=list(subjects),
    )


PODS = PolicyRule(verbs=["get"], api_groups=[""], resources=["pods"])
ANN = Subject(kind="User", api_group=GROUP, name="ann")


def stored(*objects: Object) -> RBAC:
    policy = Policy()
    for obj in objects:
        apply(policy, {}, (obj, True))
    return RBAC(Loaded(policy))


def asked(user: str = "ann", **more: str) -> Attributes:
    return Attributes(User(user), "get", "/", resource="pods", name="web", **more)  # type: ignore[arg-type]


REASONS: tuple[tuple[Object, Attributes, str], ...] = (
    (
        binding("readers", "reader", ANN),
        asked(),
        'RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to User "ann"',
    ),
    (
        RoleBinding(
            metadata=ObjectMeta(name="bots", namespace="x"),
            role_ref=RoleRef(api_group=GROUP, kind="ClusterRole", name="reader"),
            subjects=[Subject(kind="ServiceAccount", name="bot")],
        ),
        asked("system:serviceaccount:x:bot", namespace="x"),
        'RBAC: allowed by RoleBinding "bots/x" of ClusterRole "reader" to ServiceAccount "bot/x"',
    ),
)


@pytest.mark.parametrize(("bound", "question", "reason"), REASONS)
async def test_what_is_allowed_names_the_binding(bound: Object, question: Attributes, reason: str) -> None:
    decision = await stored(role("reader", PODS), bound).decide(question)
    assert (decision.allows, decision.reason) == (True, reason)


async def test_a_refusal_names_bound_roles_that_do_not_exist() -> None:
    rbac = stored(binding("one", "gone", ANN), binding("two", "lost", ANN), binding("three", "gone", ANN))
    gone, lost = (f'clusterrole.rbac.authorization.k8s.io "{name}" not found' for name in ("gone", "lost"))
    assert (await rbac.decide(asked())).reason == f"RBAC: [{gone}, {lost}]"
    assert rbac.rules_for(User("ann"), "x").error == f"[{gone}, {lost}]"
    assert (await rbac.decide(asked("bob"))).reason == ""


async def test_a_role_counts_for_bindings_that_were_there_before_it_and_no_longer_than_it_is_there() -> None:
    policy = Policy()
    apply(policy, {}, (binding("readers", "reader", ANN), True))
    assert not (await RBAC(Loaded(policy)).decide(asked())).allows
    apply(policy, {}, (role("reader", PODS), True))
    assert (await RBAC(Loaded(policy)).decide(asked())).allows
    apply(policy, {}, (role("reader"), False))
    decision = await RBAC(Loaded(policy)).decide(asked())
    assert (decision.allows, decision.reason) == (
        False,
        'RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found',
    )


async def test_rules_of_resources_and_of_paths_are_listed_apart() -> None:
    health = PolicyRule(verbs=["get"], non_resource_urls=["/healthz"])
    rules = stored(role("reader", PODS, health), binding("readers", "reader", ANN)).rules_for(User("ann"), "x")
    assert [(rule.verbs, rule.resources) for rule in rules.resource] == [(["get"], ["pods"])]
    assert [(rule.verbs, rule.non_resource_urls) for rule in rules.non_resource] == [(["get"], ["/healthz"])]
    assert (rules.is_incomplete, rules.error) == (False, "")


async def test_while_nothing_is_known_nothing_is_allowed_and_nothing_listed() -> None:
    with pytest.raises(errors.ServiceUnavailable):
        await RBAC(Unloaded()).decide(asked())
    with pytest.raises(errors.ServiceUnavailable):
        RBAC(Unloaded()).rules_for(User("ann"), "x")
