"""What the kubelet of node-1 may ask for, as a table: everything else it may not."""

import asyncio

import pytest

from apimachinery import errors
from apimachinery.selectors import parse_fields
from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.storage_v1 import VolumeAttachment, VolumeAttachmentSpec
from apiserver.authorization import ALLOW, NO_OPINION
from apiserver.authorization.node import Graph, NodeAuthorizer
from apiserver.bootstrap.rbac_users import NODE_RULES
from apiserver.request import Attributes, User

KUBELET = User("system:node:node-1", groups=("system:nodes", "system:authenticated"))


class Knowledge:
    """A graph that is filled once; what is bound meanwhile arrives when it is waited for."""

    def __init__(self) -> None:
        self.graph, self.is_loaded, self.waits = Graph(), True, 0
        self.late: list[v1.Pod] = []

    async def wait_current(self) -> None:
        self.waits += 1
        for pod in self.late:
            bind(self.graph, pod)


def bind(graph: Graph, pod: v1.Pod) -> None:
    graph.pods.put(f"/registry/core/pods/{pod.metadata.namespace}/{pod.metadata.name}", pod)


def pod(name: str, node: str) -> v1.Pod:
    """A pod of namespace ns with a secret, a config map, a claim and an account, each with the pod's name before."""
    volumes = [
        v1.Volume(name="s", secret=v1.SecretVolumeSource(secret_name=f"{name}-secret")),
        v1.Volume(name="c", config_map=v1.ConfigMapVolumeSource(name=f"{name}-config")),
        v1.Volume(name="p", persistent_volume_claim=v1.PersistentVolumeClaimVolumeSource(claim_name=f"{name}-claim")),
    ]
    spec = v1.PodSpec(node_name=node, service_account_name=f"{name}-account", volumes=volumes)
    return v1.Pod(metadata=ObjectMeta(name=name, namespace="ns", uid=name), spec=spec)


@pytest.fixture
def knowledge() -> Knowledge:
    made = Knowledge()
    for name, node in (("mine", "node-1"), ("other", "node-2")):
        bind(made.graph, pod(name, node))
        claim = v1.ObjectReference(namespace="ns", name=f"{name}-claim")
        iscsi = v1.ISCSIPersistentVolumeSource(secret_ref=v1.SecretReference(name=f"{name}-chap"))
        spec = v1.PersistentVolumeSpec(claim_ref=claim, iscsi=iscsi)
        volume = v1.PersistentVolume(metadata=ObjectMeta(name=f"{name}-volume"), spec=spec)
        made.graph.volumes.put(f"/registry/core/persistentvolumes/-/{name}-volume", volume)
        attachment = VolumeAttachment(
            metadata=ObjectMeta(name=f"{name}-attachment"), spec=VolumeAttachmentSpec(node_name=node)
        )
        made.graph.attachments.put(f"/registry/storage.k8s.io/volumeattachments/-/{name}-attachment", attachment)
    return made


def asked(text: str, user: User = KUBELET) -> Attributes:
    """``<verb> [<group>:]<resource>[/<subresource>] [<namespace>/][<name>] [?<field selector>]``."""
    verb, what, *rest = text.split()
    selector = rest.pop()[1:] if rest and rest[-1].startswith("?") else ""
    namespace, _, name = rest[0].rpartition("/") if rest else ("", "", "")
    group, _, resource = what.rpartition(":")
    resource, _, subresource = resource.partition("/")
    fields = parse_fields(selector)
    return Attributes(
        user,
        verb,
        "",
        group=group,
        version="v1",
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name or fields.exact("metadata.name") or "",
        fields=fields,
    )


ALLOWED = """
get secrets ns/mine-secret
list secrets ns/ ?metadata.name=mine-secret
watch secrets ns/ ?metadata.name=mine-secret
get secrets ns/mine-chap
get configmaps ns/mine-config
watch configmaps ns/ ?metadata.name=mine-config
get persistentvolumeclaims ns/mine-claim
patch persistentvolumeclaims/status ns/mine-claim
get persistentvolumes mine-volume
get storage.k8s.io:volumeattachments mine-attachment
create serviceaccounts/token ns/mine-account
get nodes node-1
list nodes ?metadata.name=node-1
watch nodes ?metadata.name=node-1
create nodes
patch nodes node-1
patch nodes/status node-1
get pods ns/mine
list pods ?spec.nodeName=node-1
watch pods ?spec.nodeName=node-1
list pods ns/ ?metadata.name=mine
create pods ns/
delete pods ns/mine
patch pods/status ns/mine
create pods/eviction ns/mine
create coordination.k8s.io:leases kube-node-lease/
update coordination.k8s.io:leases kube-node-lease/node-1
create storage.k8s.io:csinodes
get storage.k8s.io:csinodes node-1
list services
watch services
get node.k8s.io:runtimeclasses x
create events ns/
create authentication.k8s.io:tokenreviews
create authorization.k8s.io:subjectaccessreviews
create certificates.k8s.io:certificatesigningrequests
get certificates.k8s.io:certificatesigningrequests x
"""

REFUSED = """
get secrets ns/other-secret
get secrets ns/other-chap
get secrets elsewhere/mine-secret
list secrets ns/
list secrets
list secrets ?metadata.name=mine-secret
watch secrets ns/ ?metadata.name=other-secret
update secrets ns/mine-secret
delete secrets ns/mine-secret
get configmaps ns/other-config
list configmaps ns/
create configmaps ns/
get persistentvolumeclaims ns/other-claim
list persistentvolumeclaims ns/ ?metadata.name=mine-claim
patch persistentvolumeclaims ns/mine-claim
patch persistentvolumeclaims/status ns/other-claim
get persistentvolumes other-volume
list persistentvolumes
get storage.k8s.io:volumeattachments other-attachment
create serviceaccounts/token ns/other-account
create serviceaccounts/token ns/
get serviceaccounts ns/mine-account
get nodes node-2
list nodes
watch nodes
delete nodes node-1
get nodes/proxy node-1
create nodes/proxy node-2
get pods ns/other
list pods
list pods ns/
list pods ?spec.nodeName=node-2
watch pods ?spec.nodeName!=node-1
list pods ns/ ?metadata.name=other
update pods ns/mine
create pods/exec ns/mine
get pods/log ns/mine
create pods/binding ns/other
update coordination.k8s.io:leases kube-node-lease/node-2
get coordination.k8s.io:leases kube-system/kube-scheduler
list coordination.k8s.io:leases kube-node-lease/
get storage.k8s.io:csinodes node-2
create services ns/
delete events ns/x
create apps:deployments ns/
get rbac.authorization.k8s.io:clusterroles x
patch certificates.k8s.io:certificatesigningrequests/approval x
impersonate users admin
"""


@pytest.mark.parametrize("text", ALLOWED.strip().splitlines())
async def test_a_kubelet_may(knowledge: Knowledge, text: str) -> None:
    authorizer = NodeAuthorizer(knowledge.graph, knowledge, NODE_RULES)
    assert await authorizer.decide(asked(text)) == ALLOW
    assert not knowledge.waits  # what is allowed costs no round trip


@pytest.mark.parametrize("text", REFUSED.strip().splitlines())
async def test_a_kubelet_may_not(knowledge: Knowledge, text: str) -> None:
    authorizer = NodeAuthorizer(knowledge.graph, knowledge, NODE_RULES)
    assert (await authorizer.decide(asked(text))).outcome == "no opinion"


@pytest.mark.parametrize("text", ALLOWED.strip().splitlines())
async def test_others_are_none_of_its_business(knowledge: Knowledge, text: str) -> None:
    authorizer = NodeAuthorizer(knowledge.graph, knowledge, NODE_RULES)
    for user in (User("system:node:node-1"), User("alice", groups=("system:nodes",))):
        assert await authorizer.decide(asked(text, user)) == NO_OPINION


async def test_a_kubelet_without_a_name_may_nothing(knowledge: Knowledge) -> None:
    authorizer = NodeAuthorizer(knowledge.graph, knowledge, NODE_RULES)
    decision = await authorizer.decide(asked("list services", User("system:node:", groups=("system:nodes",))))
    assert decision.reason == 'unknown node for user "system:node:"'


async def test_reasons_are_kubernetes_own(knowledge: Knowledge) -> None:
    authorizer = NodeAuthorizer(knowledge.graph, knowledge, NODE_RULES)
    for text, reason in (
        ("get secrets ns/other-secret", "no relationship found between node 'node-1' and this object"),
        ("list secrets ns/", "No Object name found"),
        ("get nodes node-2", "node 'node-1' cannot read 'node-2', only its own Node object"),
        ("list pods", "can only list/watch pods with spec.nodeName field selector"),
        (
            "get coordination.k8s.io:leases default/x",
            'can only access leases in the "kube-node-lease" system namespace',
        ),
    ):
        assert (await authorizer.decide(asked(text))).reason == reason


async def test_until_the_graph_is_loaded_nothing_follows_from_it(knowledge: Knowledge) -> None:
    authorizer = NodeAuthorizer(knowledge.graph, knowledge, NODE_RULES)
    knowledge.is_loaded = False
    decision = await authorizer.decide(asked("get secrets ns/mine-secret"))
    assert (decision.outcome, decision.reason) == (
        "no opinion",
        "it is not known yet which pods run on which nodes",
    )
    assert await authorizer.decide(asked("get nodes node-1")) == ALLOW
    assert await authorizer.decide(asked("list services")) == ALLOW


async def test_a_pod_that_was_bound_a_moment_ago_counts(knowledge: Knowledge) -> None:
    authorizer = NodeAuthorizer(knowledge.graph, knowledge, NODE_RULES)
    knowledge.late.append(pod("new", "node-1"))
    assert await authorizer.decide(asked("get secrets ns/new-secret")) == ALLOW
    assert knowledge.waits == 1


async def test_while_the_store_is_away_there_is_no_decision(knowledge: Knowledge) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise errors.ServiceUnavailable("etcd is away")

    knowledge.wait_current = fail  # type: ignore[method-assign]
    authorizer = NodeAuthorizer(knowledge.graph, knowledge, NODE_RULES)
    with pytest.raises(errors.ServiceUnavailable):
        await authorizer.decide(asked("get secrets ns/other-secret"))
