"""What objects take from quotas, and which quotas are about them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apimachinery import codec
from apimachinery.core.quota import Evaluator, covers, evaluator_of
from apimachinery.types.core_v1 import PersistentVolumeClaim, Pod, ResourceQuotaSpec, Service

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def evaluator(plural: str, group: str = "") -> Evaluator:
    made = evaluator_of(group, plural)
    assert made is not None
    return made


def pod(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **fields: Any) -> Pod:
    container = {"name": "c", "image": "i", "resources": {"requests": requests or {}, "limits": limits or {}}}
    spec = {"containers": [container], **fields.pop("spec", {})}
    return codec.from_builtins({"spec": spec, **fields}, Pod)


def used(of: Evaluator, obj: Any) -> dict[str, str]:
    return {name: str(amount) for name, amount in of.usage(obj, NOW).items()}


def test_a_pod_takes_its_requests_and_limits() -> None:
    requests = {
        "cpu": "500m",
        "memory": "1Gi",
        "ephemeral-storage": "1M",
        "hugepages-2Mi": "4Mi",
        "example.com/gpu": "2",
    }
    assert used(evaluator("pods"), pod(requests, {"cpu": "1", "example.com/gpu": "2"})) == {
        "count/pods": "1", "pods": "1", "cpu": "500m", "requests.cpu": "500m", "limits.cpu": "1", "memory": "1Gi",
        "requests.memory": "1Gi", "ephemeral-storage": "1M", "requests.ephemeral-storage": "1M",
        "hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi", "requests.example.com/gpu": "2",
    }  # fmt: skip


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_only_counted_as_an_object(phase: str) -> None:
    assert used(evaluator("pods"), pod({"cpu": "1"}, status={"phase": phase})) == {"count/pods": "1"}


@pytest.mark.parametrize(("seconds", "counts"), [(29, True), (31, False)])
def test_a_pod_that_should_be_gone_by_now_counts_no_more(seconds: int, counts: bool) -> None:
    deleted = (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    ending = pod(metadata={"deletionTimestamp": deleted, "deletionGracePeriodSeconds": 30})
    assert ("pods" in used(evaluator("pods"), ending)) == counts


@pytest.mark.parametrize(
    ("spec", "node_ports", "balancers"),
    [
        ({"type": "ClusterIP"}, "0", "0"),
        ({"type": "NodePort"}, "2", "0"),
        ({"type": "LoadBalancer"}, "2", "1"),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}, "1", "1"),
    ],
)
def test_a_service_takes_node_ports_and_load_balancers(spec: dict[str, Any], node_ports: str, balancers: str) -> None:
    ports = [{"name": "a", "port": 80, "nodePort": 30080}, {"name": "b", "port": 81}]
    service = codec.from_builtins({"spec": {**spec, "ports": ports}}, Service)
    assert used(evaluator("services"), service) == {
        "count/services": "1", "services": "1", "services.nodeports": node_ports, "services.loadbalancers": balancers,
    }  # fmt: skip


def test_a_claim_takes_storage_of_its_class() -> None:
    spec = {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}
    status = {"allocatedResources": {"storage": "2Gi"}}
    claim = codec.from_builtins({"spec": spec, "status": status}, PersistentVolumeClaim)
    assert used(evaluator("persistentvolumeclaims"), claim) == {
        "count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "2Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "gold.storageclass.storage.k8s.io/requests.storage": "2Gi",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("group", "plural", "names"),
    [
        ("", "configmaps", {"configmaps", "count/configmaps"}),
        ("apps", "deployments", {"count/deployments.apps"}),
        ("example.com", "widgets", {"count/widgets.example.com"}),
        ("example.com", "secrets", {"count/secrets.example.com"}),
    ],
)
def test_everything_else_is_counted(group: str, plural: str, names: set[str]) -> None:
    assert set(evaluator(plural, group).usage(pod(), NOW)) == names


@pytest.mark.parametrize(("group", "plural"), [("", "events"), ("events.k8s.io", "events"), ("", "bindings")])
def test_what_no_quota_counts(group: str, plural: str) -> None:
    assert evaluator_of(group, plural) is None


def test_a_quota_of_cpu_or_memory_requires_each_container_to_say_how_much() -> None:
    containers = [{"name": name, "image": "i", "resources": {"requests": {"cpu": "1"}}} for name in ("b", "a")]
    silent = pod(spec={"containers": containers, "initContainers": [{"name": "i", "image": "i"}]})
    names = ["limits.cpu", "requests.cpu", "requests.ephemeral-storage", "pods"]
    assert evaluator("pods").lack(silent, names) == "must specify limits.cpu for: a,b,i; requests.cpu for: i"
    assert evaluator("pods").lack(silent, ["requests.ephemeral-storage"]) == ""


AFFINITY = {
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "k", "namespaces": ["other"]}}
        ]
    }
}
MAYBE = {"operator": "NotIn", "values": ["high"]}


@pytest.mark.parametrize(
    ("scope", "subject", "is_covered"),
    [
        ("Terminating", pod(spec={"activeDeadlineSeconds": 0}), True),
        ("Terminating", pod(), False),
        ("NotTerminating", pod(), True),
        ("BestEffort", pod(), True),
        ("BestEffort", pod({"cpu": "1"}), False),
        ("NotBestEffort", pod({"memory": "1"}), True),
        ("CrossNamespacePodAffinity", pod(spec={"affinity": AFFINITY}), True),
        ("CrossNamespacePodAffinity", pod(), False),
        ({"operator": "Exists"}, pod(spec={"priorityClassName": "high"}), True),
        ({"operator": "Exists"}, pod(), False),
        ({"operator": "DoesNotExist"}, pod(), True),
        ({"operator": "In", "values": ["high"]}, pod(spec={"priorityClassName": "high"}), True),
        ({"operator": "In", "values": ["high"]}, pod(spec={"priorityClassName": "low"}), False),
        (MAYBE, pod(spec={"priorityClassName": "high"}), False),
        (MAYBE, pod(), True),
    ],
)
def test_scopes_select_pods(scope: str | dict[str, Any], subject: Pod, is_covered: bool) -> None:
    if isinstance(scope, str):
        spec = codec.from_builtins({"scopes": [scope]}, ResourceQuotaSpec)
    else:
        term = {"scopeName": "PriorityClass", **scope}
        spec = codec.from_builtins({"scopeSelector": {"matchExpressions": [term]}}, ResourceQuotaSpec)
    assert covers(spec, {"pods": "1"}, evaluator("pods"), subject) == is_covered
    assert not covers(spec, {"configmaps": "1"}, evaluator("configmaps"), subject)


def test_a_quota_is_about_the_objects_whose_resources_it_limits() -> None:
    spec = ResourceQuotaSpec()
    assert covers(spec, {"requests.example.com/gpu": "1"}, evaluator("pods"), pod())
    assert covers(
        spec, {"gold.storageclass.storage.k8s.io/requests.storage": "1"}, evaluator("persistentvolumeclaims"), pod()
    )
    assert not covers(spec, {"services": "1"}, evaluator("pods"), pod())
