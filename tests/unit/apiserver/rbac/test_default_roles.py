"""What Kubernetes' default roles let their holders do, and what not, as its own policy data say (bootstrappolicy)."""

from collections.abc import Iterator
from typing import Final

import pytest

from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.rbac_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding, RoleRef, Subject
from apiserver.authorization.rbac import GROUP, RBAC, Policy, missing
from apiserver.bootstrap import rbac
from apiserver.bootstrap.rbac_namespaced import NAMESPACED
from apiserver.request import Attributes, User

NAMESPACE_FACTS: Final = """
view
    yes get list watch: pods
    yes get list watch: pods/log pods/status services configmaps endpoints
    yes get list watch: serviceaccounts persistentvolumeclaims replicationcontrollers
    yes get list watch: events limitranges resourcequotas namespaces bindings
    yes get list watch: apps/deployments apps/replicasets batch/jobs policy/poddisruptionbudgets
    yes get list watch: networking.k8s.io/networkpolicies discovery.k8s.io/endpointslices
    no  get list watch: secrets
    no  get list watch: nodes persistentvolumes
    no  get list watch: rbac.authorization.k8s.io/roles rbac.authorization.k8s.io/rolebindings
    no  get create: pods/exec pods/attach pods/portforward pods/proxy services/proxy
    no  create update patch delete deletecollection: pods services configmaps apps/deployments
    no  impersonate: serviceaccounts users groups
edit
    yes get list watch: pods secrets pods/log
    yes create update patch delete deletecollection: pods services configmaps secrets serviceaccounts
    yes create update patch delete deletecollection: apps/deployments apps/statefulsets batch/jobs
    yes create update patch delete deletecollection: batch/cronjobs
    yes create update patch delete deletecollection: persistentvolumeclaims replicationcontrollers events
    yes get create: pods/exec pods/attach pods/portforward pods/proxy services/proxy
    yes create: pods/eviction serviceaccounts/token
    yes update patch: apps/deployments/scale replicationcontrollers/scale
    yes impersonate: serviceaccounts
    no  create update patch delete: rbac.authorization.k8s.io/roles rbac.authorization.k8s.io/rolebindings
    no  create update patch delete: resourcequotas limitranges endpoints discovery.k8s.io/endpointslices
    no  update patch: pods/status services/status
    no  create delete update: namespaces nodes
    no  impersonate: users groups
admin
    yes get list watch: pods secrets rbac.authorization.k8s.io/roles
    yes create update patch delete deletecollection: rbac.authorization.k8s.io/roles
    yes create update patch delete deletecollection: rbac.authorization.k8s.io/rolebindings
    yes create: authorization.k8s.io/localsubjectaccessreviews
    no  escalate bind: rbac.authorization.k8s.io/roles rbac.authorization.k8s.io/clusterroles
    no  create update patch delete: resourcequotas limitranges namespaces
    no  update patch: pods/status namespaces/status
    no  create: authorization.k8s.io/subjectaccessreviews pods/binding
"""
"""Of users who have a role in one namespace: whether they may do each of the verbs to each of the resources."""

CLUSTER_FACTS: Final = """
root
    yes get create delete anything: pods nodes secrets rbac.authorization.k8s.io/clusterroles
    yes get post: /metrics /anything
anonymous
    yes get: /healthz /livez /readyz /version
    no  get: /api /apis /openapi/v2 /metrics /healthz/etcd /debug
    no  get list: pods namespaces nodes
somebody
    yes get: /api /api/v1 /apis /apis/apps/v1 /openapi/v3 /healthz /version
    no  get: /metrics /healthz/etcd /debug /logs
    yes create: authorization.k8s.io/selfsubjectaccessreviews authorization.k8s.io/selfsubjectrulesreviews
    yes create: authentication.k8s.io/selfsubjectreviews
    no  create: authorization.k8s.io/subjectaccessreviews authentication.k8s.io/tokenreviews pods
    no  get list watch: pods secrets configmaps namespaces nodes
monitor
    yes get: /metrics /healthz/etcd /readyz/etcd
    no  get: /debug /logs
    no  list: pods nodes
system:serviceaccount:default:default
    yes get: /openid/v1/jwks /.well-known/openid-configuration
    no  get list create: pods secrets
system:kube-scheduler
    yes create: pods/binding bindings events.k8s.io/events
    yes list watch: pods nodes persistentvolumes persistentvolumeclaims
    yes patch update: pods/status
    no  get list watch: secrets configmaps
    no  create update: pods nodes
system:kube-proxy
    yes list watch: services endpoints discovery.k8s.io/endpointslices nodes
    no  get list: secrets pods
    no  update patch create delete: services nodes endpoints
system:kube-controller-manager
    yes create: serviceaccounts serviceaccounts/token
    no  delete: pods nodes
system:serviceaccount:kube-system:replication-controller
    yes create delete list watch: pods
    yes update: replicationcontrollers/status
    no  get list: secrets configmaps
system:serviceaccount:kube-system:clusterrole-aggregation-controller
    yes escalate update patch: rbac.authorization.k8s.io/clusterroles
    no  escalate bind update: rbac.authorization.k8s.io/roles rbac.authorization.k8s.io/clusterrolebindings
system:serviceaccount:default:replication-controller
    no  create delete list: pods
system:serviceaccount:kube-system:namespace-controller
    yes delete deletecollection list: pods secrets example.com/widgets
    no  create update patch: pods secrets
system:serviceaccount:kube-system:generic-garbage-collector
    yes delete list watch patch: pods example.com/widgets
    no  create: pods
system:node:node-1
    no  get list: secrets pods
kube-apiserver-kubelet-client
    yes get create: nodes/proxy nodes/log nodes/metrics nodes/stats
    no  get list: secrets pods
"""
"""The same of the cluster's own identities, everywhere; and of paths."""

AUTHENTICATED = ("system:authenticated",)
GROUPS: Final = {
    "root": ("system:masters", *AUTHENTICATED),
    "anonymous": ("system:unauthenticated",),
    "monitor": ("system:monitoring", *AUTHENTICATED),
    "system:node:node-1": ("system:nodes", *AUTHENTICATED),
}


class Loaded:
    def __init__(self) -> None:
        self.policy = policy = Policy()
        for number, role in enumerate(rbac.cluster_roles()):
            policy.cluster_roles.put(str(number), role)
        for number, binding in enumerate(rbac.cluster_role_bindings()):
            policy.cluster_role_bindings.put(str(number), binding)
        for name in ("view", "edit", "admin"):
            metadata = ObjectMeta(name=name, namespace="x")
            ref, subject = RoleRef(api_group=GROUP, kind="ClusterRole", name=name), Subject(kind="User", name=name)
            policy.role_bindings.put(name, RoleBinding(metadata=metadata, role_ref=ref, subjects=[subject]))

    def loaded(self) -> Policy:
        return self.policy


RBAC_OF_A_NEW_CLUSTER: Final = RBAC(Loaded())
ROLES: Final[dict[str, ClusterRole]] = {role.metadata.name or "": role for role in rbac.cluster_roles()}


def user_of(name: str) -> User:
    if name.startswith("system:serviceaccount:"):
        return User(name, groups=("system:serviceaccounts", *AUTHENTICATED))
    return User(name, groups=GROUPS.get(name, AUTHENTICATED))


def questions(facts: str, namespace: str) -> Iterator[tuple[str, bool, Attributes]]:
    name = ""
    for line in facts.strip().splitlines():
        if not line.startswith(" "):
            name = line
            continue
        verbs, _, resources = line.partition(": ")
        may, *each = verbs.split()
        for verb in each:
            for what in resources.split():
                yield f"{name}: {verb} {what}", may == "yes", asked(user_of(name), verb, what, namespace)


_OF_THE_CORE: Final = {"pods", "services", "replicationcontrollers", "serviceaccounts", "namespaces", "nodes"}


def asked(user: User, verb: str, what: str, namespace: str) -> Attributes:
    if what.startswith("/"):
        return Attributes(user, verb, what)
    first, *rest = what.split("/")
    group, resource, subresource = "", first, "/".join(rest)
    if rest and first not in _OF_THE_CORE:
        group, (resource, *rest) = first, rest
        subresource = "/".join(rest)
    return Attributes(
        user, verb, "", group=group, resource=resource, subresource=subresource, namespace=namespace, name="some"
    )


@pytest.mark.parametrize(
    ("may", "question"),
    [
        pytest.param(may, question, id=name)
        for facts, namespace in ((NAMESPACE_FACTS, "x"), (CLUSTER_FACTS, ""))
        for name, may, question in questions(facts, namespace)
    ],
)
async def test_a_default_role_allows_what_it_does_in_kubernetes(may: bool, question: Attributes) -> None:
    assert (await RBAC_OF_A_NEW_CLUSTER.decide(question)).allows is may


async def test_what_holds_in_one_namespace_does_not_elsewhere() -> None:
    for namespace in ("y", ""):
        for name in ("view", "edit", "admin"):
            assert not (await RBAC_OF_A_NEW_CLUSTER.decide(asked(User(name), "get", "pods", namespace))).allows


def test_each_of_the_users_roles_may_grant_those_below_it_and_none_above() -> None:
    order = ("view", "edit", "admin", "cluster-admin")
    for number, name in enumerate(order):
        grantable = [other for other in order if not missing(ROLES[other].rules or (), ROLES[name].rules or ())]
        assert grantable == list(order[: number + 1])


def test_namespaced_default_roles_belong_to_the_systems_own() -> None:
    for default in NAMESPACED:
        role = Role(metadata=ObjectMeta(name=default.name, namespace=default.namespace), rules=list(default.rules))
        assert role.rules
        assert default.namespace in ("kube-system", "kube-public")


def test_only_the_masters_are_bound_to_everything() -> None:
    everything = ROLES["cluster-admin"].rules
    bindings: list[ClusterRoleBinding] = list(rbac.cluster_role_bindings())
    holders = [
        subject
        for binding in bindings
        if ROLES[binding.role_ref.name].rules == everything
        for subject in binding.subjects or ()
    ]
    assert [(subject.kind, subject.name) for subject in holders] == [("Group", "system:masters")]
