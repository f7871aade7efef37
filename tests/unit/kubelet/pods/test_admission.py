"""What a node refuses."""

from typing import Any

import pytest

from apimachinery.types import core_v1, meta_v1
from kubelet.pods.admission import refusal, requests
from tests.unit.kubelet.records import make_pod

HAS: dict[str, str | int | float] = {"cpu": "2", "memory": "1Gi", "pods": "3"}
NODE = core_v1.Node(metadata=meta_v1.ObjectMeta(name="n1", labels={"zone": "a", "cores": "8"}))


def asking(cpu: str = "0", memory: str = "0", port: int = 0, host_ip: str = "", **spec: Any) -> core_v1.Pod:
    pod = make_pod(**spec)
    pod.spec.containers[0].resources.requests = {"cpu": cpu, "memory": memory}
    if port:
        ports = [core_v1.ContainerPort(container_port=80, host_port=port, host_ip=host_ip)]
        pod.spec.containers[0].ports = ports
    return pod


@pytest.mark.parametrize(
    ("pod", "others", "reason"),
    [
        (asking("1"), [asking("1")], None),
        (asking("1500m"), [asking("600m")], "OutOfcpu"),
        (asking(memory="600Mi"), [asking(memory="600Mi")], "OutOfmemory"),
        (asking(), [asking()] * 3, "OutOfpods"),
        (asking(port=80), [asking(port=80)], "NodePorts"),
        (asking(port=80, host_ip="127.0.0.1"), [asking(port=80, host_ip="127.0.0.2")], None),
        (asking(port=80, host_ip="127.0.0.1"), [asking(port=80)], "NodePorts"),
        (asking(node_selector={"zone": "a"}), [], None),
        (asking(node_selector={"zone": "b"}), [], "NodeAffinity"),
    ],
)
def test_refusal(pod: core_v1.Pod, others: list[core_v1.Pod], reason: str | None) -> None:
    found = refusal(pod, others, NODE, HAS)
    assert (found.reason if found else None) == reason


def test_the_message_counts_as_kubernetes_does() -> None:
    found = refusal(asking("1500m"), [asking("600m")], NODE, HAS)
    assert found is not None
    expected = "Pod was rejected: Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000"
    assert found.message == expected


@pytest.mark.parametrize(
    ("operator", "key", "values", "fits"),
    [
        ("In", "zone", ["a", "b"], True),
        ("NotIn", "zone", ["a"], False),
        ("NotIn", "other", ["a"], True),
        ("Exists", "zone", None, True),
        ("DoesNotExist", "zone", None, False),
        ("Gt", "cores", ["4"], True),
        ("Lt", "cores", ["4"], False),
        ("Gt", "zone", ["4"], False),
    ],
)
def test_required_node_affinity(operator: str, key: str, values: list[str] | None, fits: bool) -> None:
    term = core_v1.NodeSelectorTerm(
        match_expressions=[core_v1.NodeSelectorRequirement(key=key, operator=operator, values=values)]
    )
    required = core_v1.NodeSelector(node_selector_terms=[term])
    affinity = core_v1.NodeAffinity(required_during_scheduling_ignored_during_execution=required)
    pod = asking(affinity=core_v1.Affinity(node_affinity=affinity))
    assert (refusal(pod, [], NODE, HAS) is None) == fits


def test_requests_are_those_of_the_greediest_moment() -> None:
    pod = asking("1")
    pod.spec.init_containers = [
        core_v1.Container(name="helper", restart_policy="Always"),
        core_v1.Container(name="setup"),
    ]
    helper, setup = pod.spec.init_containers
    helper.resources.requests, setup.resources.requests = {"cpu": "500m"}, {"cpu": "2"}
    assert requests(pod)["cpu"] * 1000 == 2500
    setup.resources.requests = {"cpu": "100m"}
    assert requests(pod)["cpu"] * 1000 == 1500
