"""Which pods a node rejects."""

from typing import Any

import pytest

from apimachinery.types import core_v1, meta_v1
from kubelet.pods.admission import rejection, rejection_under_pressure
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
        (asking(os=core_v1.PodOS(name="linux")), [], None),
        (asking(os=core_v1.PodOS(name="windows")), [], "PodOSNotSupported"),
    ],
)
def test_rejection(pod: core_v1.Pod, others: list[core_v1.Pod], reason: str | None) -> None:
    rejected = rejection(pod, others, NODE, HAS)
    assert (rejected.reason if rejected else None) == reason


DONGLE = "example.com/dongle"


def with_dongles(count: int) -> core_v1.Pod:
    pod = make_pod()
    pod.spec.containers[0].resources.requests = {DONGLE: count}
    return pod


@pytest.mark.parametrize(("wanted", "others", "reason"), [(2, 0, None), (1, 1, None), (2, 1, f"OutOf{DONGLE}")])
def test_extended_resources_are_as_the_node_object_says(wanted: int, others: int, reason: str | None) -> None:
    node = core_v1.Node(metadata=NODE.metadata, status=core_v1.NodeStatus(allocatable={DONGLE: "2", "cpu": "64"}))
    rejected = rejection(with_dongles(wanted), [with_dongles(others)], node, HAS)
    assert (rejected.reason if rejected else None) == reason
    assert rejection(with_dongles(9), [], NODE, HAS) is None  # something else provides them
    assert rejection(asking("3"), [], node, HAS) is not None  # how much CPU there is, the kubelet knows itself


def test_the_message_counts_as_kubernetes_does() -> None:
    rejected = rejection(asking("1500m"), [asking("600m")], NODE, HAS)
    assert rejected is not None
    expected = "Pod was rejected: Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000"
    assert rejected.message == expected


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
    assert (rejection(pod, [], NODE, HAS) is None) == fits


def test_the_greediest_moment_of_a_start_counts() -> None:
    pod = asking("1")
    pod.spec.init_containers = [core_v1.Container(name="setup")]
    pod.spec.init_containers[0].resources.requests = {"cpu": "2500m"}
    rejected = rejection(pod, [], NODE, HAS)
    assert rejected is not None
    assert rejected.message.endswith("cpu, requested: 2500, used: 0, capacity: 2000")


def with_resources(
    requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **spec: Any
) -> core_v1.Pod:
    pod = make_pod(**spec)
    pod.spec.containers[0].resources = core_v1.ResourceRequirements(requests=requests, limits=limits)  # type: ignore[arg-type]
    return pod


def requesting_init() -> core_v1.Pod:
    """Only its init container requests something."""
    pod = make_pod()
    pod.spec.init_containers = [core_v1.Container(name="setup")]
    pod.spec.init_containers[0].resources.requests = {"memory": "1Mi"}
    return pod


def static() -> core_v1.Pod:
    pod = make_pod()
    pod.metadata.annotations = {"kubernetes.io/config.source": "file"}
    return pod


MEMORY, DISK = frozenset({"MemoryPressure"}), frozenset({"DiskPressure"})


@pytest.mark.parametrize(
    ("pod", "pressures", "accepted"),
    [
        pytest.param(make_pod(), frozenset(), True, id="no pressure"),
        pytest.param(make_pod(), MEMORY, False, id="best effort under memory pressure"),
        pytest.param(with_resources({"cpu": "1m"}), MEMORY, True, id="burstable under memory pressure"),
        pytest.param(with_resources({"cpu": "1m"}), MEMORY | DISK, False, id="burstable, but the disk is full too"),
        pytest.param(requesting_init(), MEMORY, True, id="an init container's request makes it burstable"),
        pytest.param(
            with_resources(limits={"cpu": "0", "memory": "0"}), MEMORY, False, id="limits of zero do not count"
        ),
        pytest.param(with_resources({"cpu": "1"}), DISK, False, id="any pod under disk pressure"),
        pytest.param(make_pod(priority=2_000_000_000), DISK, True, id="critical by priority"),
        pytest.param(static(), DISK, True, id="static"),
    ],
)
def test_pods_under_pressure(pod: core_v1.Pod, pressures: frozenset[str], accepted: bool) -> None:
    rejected = rejection_under_pressure(pod, pressures)
    assert (rejected is None) == accepted
    assert rejected is None or rejected.message.startswith("Pod was rejected: The node had condition: [")


@pytest.mark.parametrize(
    ("toleration", "accepted"),
    [
        (core_v1.Toleration(key="node.kubernetes.io/memory-pressure", operator="Exists"), True),
        (core_v1.Toleration(operator="Exists"), True),
        (core_v1.Toleration(key="node.kubernetes.io/memory-pressure", operator="Exists", effect="NoExecute"), False),
        (core_v1.Toleration(key="other", operator="Exists"), False),
    ],
)
def test_a_pod_that_tolerates_memory_pressure_is_accepted(toleration: core_v1.Toleration, accepted: bool) -> None:
    pod = make_pod(tolerations=[toleration])
    assert (rejection_under_pressure(pod, MEMORY) is None) == accepted
    assert rejection_under_pressure(pod, MEMORY | DISK) is not None
