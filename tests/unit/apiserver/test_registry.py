"""Decisions of the registry that need no storage: addresses, ways to die, classes, defaults."""

import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import errors
from apimachinery.core.qos import qos_class
from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.registry.builtin import builtin
from apiserver.registry.core.allocators import IPS, NODE_PORTS, ServiceAllocator, held_by, keep_node_ports
from apiserver.registry.core.pod_defaults import default_pod
from apiserver.registry.core.pods import PodStrategy
from apiserver.registry.resources import Resources
from apiserver.registry.unstored import AnsweredResource

RANGE = ipaddress.IPv4Network("10.0.0.0/28")
PORTS = range(30000, 30008)


def service(*ports: int, **spec: object) -> v1.Service:
    made = [v1.ServicePort(port=port, protocol="TCP", name=f"p{port}") for port in ports or (80,)]
    wanted = v1.ServiceSpec(**{"type": "NodePort", "ports": made, **spec})  # type: ignore[arg-type]
    return v1.Service(metadata=ObjectMeta(name="s"), spec=wanted)


@given(st.randoms(use_true_random=False))
def test_addresses_and_ports_are_given_once_until_there_are_none(chance: random.Random) -> None:
    allocator, taken, made = ServiceAllocator(RANGE, PORTS), frozenset[str](), 0
    while True:
        made_service = service(*chance.sample(range(1, 100), 2))
        try:
            claims = allocator.allocate(made_service, None, taken).claims
        except errors.InternalError:
            break
        assert not taken & set(claims)
        assert set(claims) == set(held_by(made_service)) == set(allocator.release(made_service))
        assert ipaddress.ip_address(made_service.spec.cluster_ip or "") in RANGE
        taken, made = taken | set(claims), made + 1
    assert made == len(PORTS) // 2


def test_what_is_asked_for_by_name_is_given_or_refused() -> None:
    allocator = ServiceAllocator(RANGE, PORTS)
    named = service(cluster_ip="10.0.0.5")
    assert IPS + "10.0.0.5" in allocator.allocate(named, None, frozenset()).claims
    with pytest.raises(errors.Invalid, match="already allocated"):
        allocator.allocate(service(cluster_ip="10.0.0.5"), None, frozenset([IPS + "10.0.0.5"]))
    held = frozenset(held_by(named))
    assert allocator.allocate(named, named, held).claims == []  # its own


def test_a_change_of_type_gives_ports_back() -> None:
    allocator, old = ServiceAllocator(RANGE, PORTS), service()
    allocator.allocate(old, None, frozenset())
    new = service(type="ClusterIP", cluster_ip=old.spec.cluster_ip)
    ports = [f"{NODE_PORTS}{port.node_port}" for port in old.spec.ports or ()]
    assert allocator.allocate(new, old, frozenset()).releases == ports


def test_ports_keep_their_numbers_over_updates() -> None:
    old = [v1.ServicePort(port=80, protocol="TCP", node_port=30001), v1.ServicePort(port=81, node_port=30002)]
    new = [v1.ServicePort(port=80, protocol="TCP"), v1.ServicePort(port=82, protocol="TCP")]
    keep_node_ports(new, old)
    assert [port.node_port for port in new] == [30001, None]


@pytest.mark.parametrize(
    ("node", "phase", "configured", "asked", "grace"),
    [
        ("n", "Running", 30, None, 30), ("n", "Running", 7, None, 7), ("n", "Running", 30, 5, 5),
        ("n", "Running", 30, 0, 0),
        ("n", "Running", None, None, 30), ("", "Pending", 30, None, 0), ("", "Pending", 30, 60, 0),
        ("n", "Succeeded", 30, None, 0), ("n", "Failed", 30, 60, 0), ("n", "Running", -1, None, 1),
    ],
)  # fmt: skip
def test_how_long_a_deleted_pod_has(node: str, phase: str, configured: int, asked: int | None, grace: int) -> None:
    pod = v1.Pod(
        spec=v1.PodSpec(node_name=node or None, termination_grace_period_seconds=configured),
        status=v1.PodStatus(phase=phase),
    )
    assert PodStrategy().delete(pod, asked).grace_seconds == grace


def container(limits: dict[str, str] | None = None, requests: dict[str, str] | None = None) -> v1.Container:
    return v1.Container(name="c", resources=v1.ResourceRequirements(limits=limits, requests=requests))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([container()], "BestEffort"),
        ([container(requests={"cpu": "1"})], "Burstable"),
        ([container({"cpu": "1", "memory": "1Gi"})], "Guaranteed"),
        ([container({"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m", "memory": "1024Mi"})], "Guaranteed"),
        ([container({"cpu": "1", "memory": "1Gi"}), container()], "Burstable"),
        ([container({"cpu": "1"})], "Burstable"),
        ([container({"example.com/gpu": "1"})], "BestEffort"),
        ([container({"cpu": "0"})], "BestEffort"),
    ],
)
def test_the_class_of_a_pod(containers: list[v1.Container], expected: str) -> None:
    spec = v1.PodSpec(containers=containers)
    default_pod(spec)
    assert qos_class(spec) == expected


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"), ("nginx:latest", "Always"), ("nginx:1", "IfNotPresent"), ("host:5000/nginx", "Always"),
        ("host:5000/nginx:1", "IfNotPresent"), ("nginx@sha256:00", "IfNotPresent"), ("a/b:latest", "Always"),
    ],
)  # fmt: skip
def test_when_an_image_is_pulled(image: str, policy: str) -> None:
    spec = v1.PodSpec(containers=[v1.Container(name="c", image=image)])
    default_pod(spec)
    assert spec.containers[0].image_pull_policy == policy


def test_defaults_change_nothing_the_second_time() -> None:
    probe = v1.Probe(http_get=v1.HTTPGetAction(port=80))
    volumes = [v1.Volume(name="a"), v1.Volume(name="b", config_map=v1.ConfigMapVolumeSource(name="x"))]
    containers = [v1.Container(name="c", image="x", liveness_probe=probe, ports=[v1.ContainerPort(container_port=1)])]
    once = v1.PodSpec(containers=containers, volumes=volumes, host_network=True)
    default_pod(once)
    assert once.volumes is not None
    assert (once.volumes[0].empty_dir, once.volumes[1].config_map and once.volumes[1].config_map.default_mode) == (
        v1.EmptyDirVolumeSource(), 0o644,
    )  # fmt: skip
    assert once.containers[0].ports == [v1.ContainerPort(container_port=1, host_port=1, protocol="TCP")]
    before = repr(once)
    default_pod(once)
    assert repr(once) == before


def test_every_row_is_whole() -> None:
    for info in builtin(Resources(), RANGE, PORTS):
        assert info.definition.endswith(info.resource.kind)
        assert info.prefix.endswith(f"/{info.resource.plural}/")
        assert bool(info.columns) != isinstance(info, AnsweredResource)  # of answers there is no table
        assert "status" in info.subresources or info.reset_fields("") == ()
