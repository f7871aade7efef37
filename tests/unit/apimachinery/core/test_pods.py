"""Tables of what a pod's spec and state mean; each row a case of Kubernetes' own rules."""

from typing import Any

import msgspec
import pytest

from apimachinery.core import pod_resources, pods
from apimachinery.core.qos import qos_class
from apimachinery.core.tolerations import tolerates
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Pod, PodSpec, Taint, Toleration


def make_pod(**fields: Any) -> Pod:
    return msgspec.convert({"metadata": {"name": "web", "namespace": "shop"}, **fields}, Pod)


def container(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any) -> Any:
    return {"name": "c", "resources": {"requests": requests, "limits": limits}, **more}


def sidecar(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any) -> Any:
    return container(requests, limits, restartPolicy="Always", **more)


BOTH = {"cpu": "1", "memory": "1Gi"}
ZERO = {"cpu": "0", "memory": "0"}


@pytest.mark.parametrize(
    ("containers", "init", "expected"),
    [
        pytest.param([container()], [], "BestEffort", id="nothing is asked for"),
        pytest.param([container(BOTH, BOTH)], [], "Guaranteed", id="requests equal limits"),
        pytest.param([container(None, BOTH)], [], "Guaranteed", id="limits alone are requests too"),
        pytest.param([container({"cpu": "1000m", "memory": "1024Mi"}, BOTH)], [], "Guaranteed", id="other spellings"),
        pytest.param([container(BOTH)], [], "Burstable", id="requests alone"),
        pytest.param([container({"cpu": "1"}, {"cpu": "1"})], [], "Burstable", id="no memory"),
        pytest.param([container(BOTH, BOTH), container()], [], "Burstable", id="one container without"),
        pytest.param([container()], [container(BOTH)], "Burstable", id="an init container alone asks"),
        pytest.param([container(BOTH, BOTH)], [container()], "Burstable", id="an init container does not"),
        pytest.param([container(BOTH, BOTH)], [sidecar(BOTH, BOTH)], "Guaranteed", id="a sidecar like the rest"),
        pytest.param(
            [container({"cpu": "1100u", "memory": "1"}, {"cpu": "1500u", "memory": "1"})], [], "Burstable", id="exactly"
        ),
        pytest.param([container(ZERO, ZERO)], [], "BestEffort", id="limits of zero are none"),
        pytest.param([container({"example.com/gpu": "1"}, {"example.com/gpu": "1"})], [], "BestEffort", id="others"),
    ],
)
def test_qos_class(containers: list[Any], init: list[Any], expected: str) -> None:
    assert qos_class(msgspec.convert({"containers": containers, "initContainers": init}, PodSpec)) == expected


@pytest.mark.parametrize(
    ("containers", "init", "overhead", "expected"),
    [
        pytest.param([container()], [], None, {}, id="none"),
        pytest.param([container({"cpu": "100m"}), container({"cpu": "0.2"})], [], None, {"cpu": 300}, id="summed"),
        pytest.param([container(None, {"memory": "1Ki"})], [], None, {"memory": 1024}, id="a limit is a request"),
        pytest.param([container({"cpu": "1"})], [container({"cpu": "2"})], None, {"cpu": 2000}, id="start needs more"),
        pytest.param([container({"cpu": "1"})], [sidecar({"cpu": "2"})], None, {"cpu": 3000}, id="a sidecar stays"),
        pytest.param(
            [container({"cpu": "1"})], [sidecar({"cpu": "2"}), container({"cpu": "2"})], None, {"cpu": 4000},
            id="an init container beside the sidecar before it",
        ),
        pytest.param(
            [container({"cpu": "1"})], [container({"cpu": "2"}), sidecar({"cpu": "2"})], None, {"cpu": 3000},
            id="an init container before the sidecar",
        ),
        pytest.param([container({"cpu": "1"})], [], {"cpu": "250m", "memory": "1"}, {"cpu": 1250, "memory": 1}, id="+"),
        pytest.param([container({"cpu": "1"})], [], {"cpu": "1n"}, {"cpu": 1001}, id="rounded up"),
    ],
)  # fmt: skip
def test_requests(containers: list[Any], init: list[Any], overhead: Any, expected: dict[str, int]) -> None:
    pod = make_pod(spec={"containers": containers, "initContainers": init, "overhead": overhead})
    assert pod_resources.requests(pod) == expected


def test_limits_have_overhead_only_where_there_is_a_limit() -> None:
    spec = {"containers": [container(None, {"cpu": "1"})], "overhead": {"cpu": "250m", "memory": "1Mi"}}
    assert pod_resources.limits(make_pod(spec=spec)) == {"cpu": 1250}


def test_host_ports_are_those_of_containers_and_sidecars() -> None:
    ports = [{"containerPort": 80, "hostPort": 8080, "hostIP": "0.0.0.0"}, {"containerPort": 81}]
    metrics = {"containerPort": 9, "hostPort": 9000, "hostIP": "10.1.1.1", "protocol": "UDP"}
    spec = {
        "containers": [container(ports=ports)],
        "initContainers": [sidecar(ports=[metrics]), container(ports=[{"containerPort": 7, "hostPort": 7000}])],
    }
    assert pods.host_ports(make_pod(spec=spec)) == [("10.1.1.1", "UDP", 9000), ("", "TCP", 8080)]


@pytest.mark.parametrize(
    ("left", "right", "conflict"),
    [
        (("", "TCP", 80), ("10.0.0.1", "TCP", 80), True),
        (("10.0.0.1", "TCP", 80), ("10.0.0.1", "TCP", 80), True),
        (("10.0.0.1", "TCP", 80), ("10.0.0.2", "TCP", 80), False),
        (("", "TCP", 80), ("", "UDP", 80), False),
        (("", "TCP", 80), ("", "TCP", 81), False),
    ],
)
def test_host_ports_conflict(left: tuple[str, str, int], right: tuple[str, str, int], conflict: bool) -> None:
    assert pods.HostPort(*left).conflicts(pods.HostPort(*right)) is conflict
    assert pods.HostPort(*right).conflicts(pods.HostPort(*left)) is conflict


TAINT = Taint(key="team", value="red", effect="NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        (Toleration(operator="Exists"), True),
        (Toleration(key="team", operator="Exists"), True),
        (Toleration(key="team", operator="Exists", effect="NoExecute"), False),
        (Toleration(key="team", value="red"), True),
        (Toleration(key="team", value="red", operator="Equal", effect="NoSchedule"), True),
        (Toleration(key="team", value="blue"), False),
        (Toleration(key="team"), False),
        (Toleration(key="crew", operator="Exists"), False),
        (Toleration(key="team", value="red", operator="Near"), False),
    ],
)
def test_tolerates(toleration: Toleration, expected: bool) -> None:
    assert tolerates(toleration, TAINT) is expected


def test_claims_are_those_named_and_those_of_ephemeral_volumes() -> None:
    volumes = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "disk"}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        {"name": "tmp", "emptyDir": {}},
    ]
    assert pods.claims_of(make_pod(spec={"volumes": volumes})) == [Key("shop", "disk"), Key("shop", "web-scratch")]


@pytest.mark.parametrize(
    ("annotations", "priority", "expected"),
    [
        ({}, 0, False),
        ({}, 1_999_999_999, False),
        ({}, 2_000_000_000, True),
        ({"kubernetes.io/config.mirror": "x"}, 0, True),
        ({"kubernetes.io/config.source": "file"}, 0, True),
        ({"kubernetes.io/config.source": "api"}, 0, False),
    ],
)
def test_critical_pods(annotations: dict[str, str], priority: int, expected: bool) -> None:
    pod = make_pod(metadata={"annotations": annotations}, spec={"priority": priority})
    assert pods.is_critical(pod) is expected
