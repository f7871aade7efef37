"""From pods, or from Endpoints, to slices: few writes, nothing lost, nothing twice."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import codec, meta
from apimachinery.types.core_v1 import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Pod, ServicePort
from apimachinery.types.discovery_v1 import EndpointSlice
from apimachinery.types.meta_v1 import ObjectMeta, OwnerReference
from controller_manager.endpointslice_plan import MOST, EndpointGroups, Plan, SliceOwner, of_endpoints, of_pods, plan
from tests.objects import make_pod, make_service

OWNER = SliceOwner("default", "web", "tests", {"app": "web"}, OwnerReference(name="web", kind="Service"), {})


def pods(count: int, first: int = 0) -> list[Pod]:
    return [make_pod(f"p{n}", ip=f"10.128.{n // 250}.{n % 250 + 1}", ready=True) for n in range(first, first + count)]


def groups(pods: Iterable[Pod]) -> EndpointGroups:
    return of_pods(make_service(), pods)


def done(slices: list[EndpointSlice], step: Plan) -> list[EndpointSlice]:
    gone = {meta.name_of(present) for present in (*step.delete, *step.update)}
    return [*(present for present in slices if meta.name_of(present) not in gone), *step.update, *step.create]


def addresses(slices: Iterable[EndpointSlice]) -> list[str]:
    return sorted(endpoint.addresses[0] for present in slices for endpoint in present.endpoints or ())


def test_endpoints_say_how_they_are() -> None:
    service = make_service()
    going = make_pod("b", ip="10.128.0.3", ready=True)
    going.metadata.deletion_timestamp = meta.now()
    unready = make_pod("c", ip="10.128.0.4", ready=False)
    (endpoints,) = of_pods(service, [make_pod("a", node="n1", ip="10.128.0.2", ready=True), going, unready]).values()
    states = [
        (endpoint.addresses[0], conditions.ready, conditions.serving, conditions.terminating)
        for endpoint in endpoints.values()
        if (conditions := endpoint.conditions)
    ]
    assert states == [
        ("10.128.0.2", True, True, False), ("10.128.0.3", False, True, True), ("10.128.0.4", False, False, False)
    ]  # fmt: skip
    service.spec.publish_not_ready_addresses = True
    (endpoints,) = of_pods(service, [going, unready]).values()
    assert all(endpoint.conditions and endpoint.conditions.ready for endpoint in endpoints.values())


def test_named_target_ports_that_differ_make_slices_of_their_own() -> None:
    service = make_service(ports=[ServicePort(name="web", port=80, target_port="http")])
    a = make_pod("a", ip="10.128.0.2", ready=True, ports={"http": 8080})
    b = make_pod("b", ip="10.128.0.3", ready=True, ports={"http": 9090})
    step = plan(OWNER, of_pods(service, [a, b]), [])
    assert sorted((new.ports[0].port, addresses([new])) for new in step.create if new.ports) == [
        (8080, ["10.128.0.2"]), (9090, ["10.128.0.3"])
    ]  # fmt: skip


def test_a_service_without_pods_has_one_empty_slice_until_it_has_some() -> None:
    slices = done([], plan(OWNER, groups([]), []))
    assert [present.endpoints for present in slices] == [[]]
    assert plan(OWNER, groups([]), slices) == Plan()
    slices = done(slices, plan(OWNER, groups(pods(1)), slices))
    assert addresses(slices) == ["10.128.0.1"]
    assert len(slices) == 1


def test_slices_are_filled_and_a_change_of_one_pod_is_one_write() -> None:
    slices = done([], plan(OWNER, groups(pods(250)), []))
    assert sorted(len(present.endpoints or []) for present in slices) == [50, MOST, MOST]
    changed = pods(250)
    changed[0] = make_pod("p0", ip="10.128.0.1", ready=False)
    step = plan(OWNER, groups(changed), slices)
    assert (len(step.create), len(step.update), len(step.delete)) == (0, 1, 0)
    step = plan(OWNER, groups(pods(251)), slices)
    assert (len(step.create), len(step.update), len(step.delete)) == (0, 1, 0)


def test_slices_carry_whose_they_are() -> None:
    (new,) = plan(OWNER, groups(pods(1)), []).create
    assert new.metadata.labels == {
        "app": "web", "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "tests"
    }  # fmt: skip
    assert new.metadata.owner_references == [OWNER.reference]
    assert new.address_type == "IPv4"
    relabelled = codec.copy(new)
    relabelled.metadata.labels = {"app": "other"}
    assert plan(OWNER, groups(pods(1)), [relabelled]).update


def test_a_create_that_is_not_seen_yet_gets_the_same_name_again() -> None:
    first, second = (plan(OWNER, groups(pods(1)), []).create for _ in range(2))
    assert first == second


@given(st.lists(st.sets(st.integers(0, 300), max_size=260), min_size=1, max_size=5))
def test_nothing_is_lost_or_doubled_whatever_comes_and_goes(steps: list[set[int]]) -> None:
    slices: list[EndpointSlice] = []
    every = pods(301)
    for numbers in steps:
        now = [every[n] for n in numbers]
        slices = done(slices, plan(OWNER, groups(now), slices))
        assert addresses(slices) == sorted(pod.status.pod_ip or "" for pod in now)
        assert all(len(present.endpoints or []) <= MOST for present in slices)
        assert plan(OWNER, groups(now), slices) == Plan()


@pytest.mark.parametrize("ready", [True, False])
def test_hand_made_endpoints_are_mirrored(ready: bool) -> None:
    address = [EndpointAddress(ip="192.0.2.1", hostname="db", node_name="n1")]
    subset = EndpointSubset(
        addresses=address if ready else None,
        not_ready_addresses=None if ready else address,
        ports=[EndpointPort(name="sql", port=5432, protocol="TCP")],
    )
    endpoints = Endpoints(metadata=ObjectMeta(name="web", namespace="default"), subsets=[subset])
    (mirror,) = plan(OWNER, of_endpoints(endpoints), []).create
    (endpoint,) = mirror.endpoints or ()
    assert (endpoint.addresses, endpoint.hostname, endpoint.node_name) == (["192.0.2.1"], "db", "n1")
    assert endpoint.conditions
    assert endpoint.conditions.ready is ready
    assert [(port.name, port.port) for port in mirror.ports or ()] == [("sql", 5432)]
    assert plan(OWNER, {}, [mirror]) == Plan(delete=(mirror,))
