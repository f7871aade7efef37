"""What the core kinds refuse: in services, in pods, in any metadata and in any status."""

from typing import Any

import pytest

from apimachinery import codec
from apimachinery.core.well_known import MIRROR_ANNOTATION
from apimachinery.types import core_v1
from apiserver.registry.core.pods import PodStrategy
from apiserver.registry.subresources import ObjectSubresource
from tests.kinds import CONTAINER
from tests.unit.apiserver.registry.rows import Faults, faults_of, named, read, row


def status_faults(plural: str, status: dict[str, Any], **old: Any) -> Faults:
    """All that is wrong with a status that is written under ``/status``."""
    subresource = row(plural).subresources["status"]
    assert isinstance(subresource, ObjectSubresource)
    before = read(plural, {"metadata": {"name": "a"}, **old})
    after = codec.from_builtins({**codec.to_builtins(before), "status": status}, type(before))
    subresource.strategy.default(after)
    subresource.strategy.prepare_for_update(after, before)
    return named([*subresource.strategy.validate(after), *subresource.strategy.validate_update(after, before)])


def port(port: int, node_port: int = 0, protocol: str = "TCP") -> dict[str, Any]:
    return {"name": f"p{port}-{protocol.lower()}", "port": port, "nodePort": node_port, "protocol": protocol}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ports": [port(80, 30080), port(81, 30080)]}, {("spec.ports[1].nodePort", "Duplicate")}),
        ({"ports": [port(80, 30080), port(80, 30080, "UDP")]}, set()),
        ({"ports": [port(10250)], "type": "LoadBalancer"}, {("spec.ports[0].port", "Invalid")}),
        ({"ports": [{"port": 80, "appProtocol": "a b"}]}, {("spec.ports[0].appProtocol", "Invalid")}),
        ({"ports": [port(80)], "clusterIPs": ["10.0.0.1", "10.0.0.2"]}, {("spec.clusterIPs", "Invalid")}),
        ({"ports": [port(80)], "ipFamilies": ["IPv4", "IPv4"]}, {("spec.ipFamilies[1]", "Duplicate")}),
        ({"ports": [port(80)], "type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1", "10.0.0.0/255.0.0.0"]}, {
            ("spec.LoadBalancerSourceRanges[0]", "Invalid"), ("spec.LoadBalancerSourceRanges[1]", "Invalid"),
        }),
        ({"ports": [port(80)], "type": "LoadBalancer", "loadBalancerSourceRanges": [" 10.0.0.1/8"]}, set()),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_service(spec: dict[str, Any], expected: Faults) -> None:
    assert faults_of("services", spec={"type": "NodePort", **spec}) == expected


DELETED = {"metadata": {"name": "a", "deletionTimestamp": "2026-01-02T03:04:05Z"}}
BALANCED = {"spec": {"type": "LoadBalancer", "ports": [port(80)]}}
CONDITIONS = [{"type": "", "status": "True"}, {"type": "a", "status": "yes"}, {"type": "a", "status": "True"}]
CONDITION_FAULTS = {
    ("status.conditions[0].type", "Required"), ("status.conditions[1].status", "NotSupported"),
    ("status.conditions[2].type", "Duplicate"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("plural", "old", "status", "expected"),
    [
        ("namespaces", {}, {"phase": "Terminating"}, {("status.phase", "Invalid")}),
        ("namespaces", {}, {}, {("status.phase", "Invalid")}),
        ("namespaces", {}, {"phase": "Active"}, set()),
        ("namespaces", DELETED, {"phase": "Active"}, {("status.phase", "Invalid")}),
        ("namespaces", DELETED, {"phase": "Terminating"}, set()),
        ("pods", {}, {"podIP": "junk", "podIPs": [{"ip": "junk"}]}, {
            ("status.podIP", "Invalid"), ("status.podIPs[0]", "Invalid"),
        }),
        ("pods", {}, {"podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.2"}, {"ip": "10.1.0.3"}]}, {
            ("status.podIPs[0]", "Invalid"), ("status.podIPs", "Invalid"),
        }),
        ("pods", {}, {"podIP": "10.1.0.1", "hostIP": "10.1.0.2", "hostIPs": [{"ip": "10.1.0.2"}, {"ip": "::1"}]}, set()),
        ("pods", {}, {"phase": "Sleeping", "hostIP": "fe80::1%eth0", "nominatedNodeName": "_"}, {
            ("status.phase", "NotSupported"), ("status.hostIP", "Invalid"), ("status.nominatedNodeName", "Invalid"),
        }),
        ("pods", {}, {"conditions": CONDITIONS}, CONDITION_FAULTS),
        ("nodes", {}, {"conditions": CONDITIONS}, CONDITION_FAULTS),
        ("nodes", {}, {"addresses": [{"type": "InternalIP", "address": "x"}] * 2}, {
            ("status.addresses[0].address", "Invalid"), ("status.addresses[1].address", "Invalid"),
            ("status.addresses[1]", "Duplicate"),
        }),
        ("services", {}, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, {
            ("status.loadBalancer.ingress", "Forbidden"),
        }),
        ("services", BALANCED, {"loadBalancer": {"ingress": [{"ip": "x"}, {"hostname": "10.0.0.1"}, {"hostname": "_"}]}}, {
            ("status.loadBalancer.ingress[0].ip", "Invalid"), ("status.loadBalancer.ingress[1].hostname", "Invalid"),
            ("status.loadBalancer.ingress[2].hostname", "Invalid"),
        }),
        ("services", BALANCED, {"loadBalancer": {"ingress": [{"hostname": "a", "ipMode": "VIP"}]}}, {
            ("status.loadBalancer.ingress[0].ipMode", "Forbidden"),
        }),
        ("services", BALANCED, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "hostname": "a.b"}]}}, set()),
        ("ingresses", {}, {"loadBalancer": {"ingress": [{"ip": "x"}]}}, {("status.loadBalancer.ingress[0].ip", "Invalid")}),
        ("replicationcontrollers", {}, {"replicas": -1}, {("status.replicas", "Invalid")}),
        ("replicasets", {}, {"replicas": 1, "readyReplicas": 2, "availableReplicas": 1}, {
            ("status.readyReplicas", "Invalid"),
        }),
        ("deployments", {}, {"replicas": 2, "readyReplicas": 1, "availableReplicas": 2, "updatedReplicas": 3}, {
            ("status.availableReplicas", "Invalid"), ("status.updatedReplicas", "Invalid"),
        }),
        ("horizontalpodautoscalers", {}, {"currentReplicas": -1}, {("status.currentReplicas", "Invalid")}),
        ("persistentvolumeclaims", {}, {"phase": "Lent", "capacity": {"storage": "-1"}}, {
            ("status.phase", "NotSupported"), ("status.capacity[storage]", "Invalid"),
        }),
        ("persistentvolumes", {}, {"phase": "Lent"}, {("status.phase", "NotSupported")}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_status(
    plural: str, old: dict[str, Any], status: dict[str, Any], expected: Faults
) -> None:
    assert status_faults(plural, status, **old) == expected


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [CONTAINER], **spec}}


def asking(limits: dict[str, Any] | None = None, **requests: Any) -> dict[str, Any]:
    names = {name.replace("__", "/").replace("_", "."): amount for name, amount in requests.items()}
    return pod(containers=[{**CONTAINER, "resources": {"limits": limits or {}, "requests": names}}])


LIMITS = "spec.containers[0].resources.limits"
REQUESTS = "spec.containers[0].resources.requests"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (asking(foo=1), {(f"{REQUESTS}[foo]", "Invalid")}),
        (asking(pods=1), {(f"{REQUESTS}[pods]", "Invalid")}),
        (asking({"requests.a/b": 1}), {(f"{LIMITS}[requests.a/b]", "Invalid"), (f"{REQUESTS}[requests.a/b]", "Invalid")}),
        (asking({"a.b/c": "1500m"}), {(f"{LIMITS}[a.b/c]", "Invalid"), (f"{REQUESTS}[a.b/c]", "Invalid")}),
        (asking({"a.b/c": 2}), set()),
        (asking(a_b__c=1), {(LIMITS, "Required")}),
        (asking({"a.b/c": 2}, a_b__c=1), {(REQUESTS, "Invalid")}),
        (asking({"hugepages-2Mi": "4Mi", "cpu": 1}), set()),
        (asking({"hugepages-2Mi": "4Mi"}), {("spec.containers[0].resources", "Forbidden")}),
        (asking({"hugepages-2Mi": "3Mi", "cpu": 1}), {
            (f"{LIMITS}[hugepages-2Mi]", "Invalid"), (f"{REQUESTS}[hugepages-2Mi]", "Invalid"),
        }),
        (asking({"hugepages-big": "4Mi", "cpu": 1}), {
            (f"{LIMITS}[hugepages-big]", "Invalid"), (f"{REQUESTS}[hugepages-big]", "Invalid"),
        }),
        (asking({"cpu": 1}, cpu=2), {(REQUESTS, "Invalid")}),
        (pod(terminationGracePeriodSeconds=-1), set()),
        (pod(schedulingGates=[{"name": "a/b"}], nodeName="n"), {("spec.nodeName", "Forbidden")}),
        (pod(schedulingGates=[{"name": "a/b"}] * 2), {("spec.schedulingGates[1]", "Duplicate")}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_pod(body: dict[str, Any], expected: Faults) -> None:
    assert faults_of("pods", **body) == expected


def mirror(value: str = "", **spec: Any) -> core_v1.Pod:
    annotations = {MIRROR_ANNOTATION: value} if value else {}
    return codec.from_builtins({"metadata": {"name": "a", "annotations": annotations}, "spec": spec}, core_v1.Pod)


def test_a_pod_is_a_mirror_on_a_node_from_its_beginning_and_remains_so() -> None:
    strategy = PodStrategy()

    def created(pod: core_v1.Pod) -> list[str]:
        return [str(fault) for fault in strategy.validate_create(pod)]

    def updated(new: core_v1.Pod, old: core_v1.Pod) -> list[str]:
        return [str(fault) for fault in strategy.validate_update(new, old)]

    place = f"metadata.annotations[{MIRROR_ANNOTATION}]"
    assert created(mirror("hash", nodeName="n")) == []
    assert created(mirror("hash")) == [
        f'{place}: Invalid value: "hash": must set spec.nodeName if mirror pod annotation is set'
    ]
    assert updated(mirror("hash"), mirror("hash")) == []
    assert updated(mirror("hash"), mirror()) == [f"{place}: Forbidden: may not add mirror pod annotation"]
    for new in (mirror(), mirror("other")):
        assert updated(new, mirror("hash")) == [f"{place}: Forbidden: may not remove or update mirror pod annotation"]


OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"finalizers": ["orphan", "foregroundDeletion"]}, {("metadata.finalizers", "Invalid")}),
        ({"finalizers": ["orphan", "a.b/c"]}, set()),
        ({"ownerReferences": [{**OWNER, "kind": "Event"}]}, {("metadata.ownerReferences[0]", "Invalid")}),
        ({"ownerReferences": [{**OWNER, "apiVersion": "a/b/c"}]}, {("metadata.ownerReferences[0].apiVersion", "Invalid")}),
        ({"ownerReferences": [{**OWNER, "apiVersion": "apps/v1"}]}, set()),
    ],
)  # fmt: skip
def test_what_is_wrong_with_metadata(change: dict[str, Any], expected: Faults) -> None:
    assert faults_of("configmaps", metadata={"name": "a", **change}) == expected


@pytest.mark.parametrize(
    ("plural", "body", "expected"),
    [
        ("namespaces", {"spec": {"finalizers": ["mine"]}}, {("spec.finalizers[0]", "Invalid")}),
        ("namespaces", {"spec": {"finalizers": ["a.b/mine"]}}, set()),
        ("secrets", {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "no"}}, {
            ("data[.dockerconfigjson]", "Invalid"),
        }),
        ("secrets", {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": '{"auths":{}}'}}, set()),
        ("secrets", {"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "W10="}}, {("data[.dockercfg]", "Invalid")}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_namespaces_and_secrets(plural: str, body: dict[str, Any], expected: Faults) -> None:
    assert faults_of(plural, **body) == expected
