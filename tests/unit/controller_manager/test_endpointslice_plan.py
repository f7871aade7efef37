"""From pods, or from Endpoints, to slices: few writes, nothing lost, nothing twice."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import codec, meta
from apimachinery.types.core_v1 import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Pod, ServicePort
from apimachinery.types.discovery_v1 import EndpointSlice
from apimachinery.types.meta_v1 import ObjectMeta, OwnerReference
from controller_manager.endpointslice_plan import MOST, Owner, Plan, Wanted, of_endpoints, of_pods, plan
from tests.objects import make_pod, make_service

OWNER = Owner("default", "web", "tests", {"app": "web"}, OwnerReference(name="web", kind="Service"), {})


def pods(count: int, first: int = 0) -> list[Pod]:
    return [make_pod(f"p{n}", ip=f"10.128.{n // 250}.{n % 250 + 1}", ready=True) for n in range(first, first + count)]


def wanted(pods: Iterable[Pod]) -> Wanted:
    return of_pods(make_service(), pods)


def done(slices: list[EndpointSlice], step: Plan) -> list[EndpointSlice]:
    gone = {meta.name_of(one) for one in (*step.delete, *step.update)}
    return [*(one for one in slices if meta.name_of(one) not in gone), *step.update, *step.create]


def addresses(slices: Iterable[EndpointSlice]) -> list[str]:
    return sorted(end.addresses[0] for one in slices for end in one.endpoints or ())


def test_endpoints_say_how_they_are() -> None:
    service = make_service()
    going = make_pod("b", ip="10.128.0.3", ready=True)
    going.metadata.deletion_timestamp = meta.now()
    unready = make_pod("c", ip="10.128.0.4", ready=False)
    (endpoints,) = of_pods(service, [make_pod("a", node="n1", ip="10.128.0.2", ready=True), going, unready]).values()
    seen = [
        (end.addresses[0], end.conditions.ready, end.conditions.serving, end.conditions.terminating)
        for end in endpoints.values()
        if end.conditions
    ]
    assert seen == [
        ("10.128.0.2", True, True, False), ("10.128.0.3", False, True, True), ("10.128.0.4", False, False, False)
    ]  # fmt: skip
    service.spec.publish_not_ready_addresses = True
    (endpoints,) = of_pods(service, [going, unready]).values()
    assert all(end.conditions and end.conditions.ready for end in endpoints.values())


def test_named_target_ports_that_differ_make_slices_of_their_own() -> None:
    service = make_service(ports=[ServicePort(name="web", port=80, target_port="http")])
    a = make_pod("a", ip="10.128.0.2", ready=True, ports={"http": 8080})
    b = make_pod("b", ip="10.128.0.3", ready=True, ports={"http": 9090})
    step = plan(OWNER, of_pods(service, [a, b]), [])
    assert sorted((one.ports[0].port, addresses([one])) for one in step.create if one.ports) == [
        (8080, ["10.128.0.2"]), (9090, ["10.128.0.3"])
    ]  # fmt: skip


def test_a_service_without_pods_has_one_empty_slice_until_it_has_some() -> None:
    slices = done([], plan(OWNER, wanted([]), []))
    assert [one.endpoints for one in slices] == [[]]
    assert plan(OWNER, wanted([]), slices) == Plan()
    slices = done(slices, plan(OWNER, wanted(pods(1)), slices))
    assert addresses(slices) == ["10.128.0.1"]
    assert len(slices) == 1


def test_slices_are_filled_and_a_change_of_one_pod_is_one_write() -> None:
    slices = done([], plan(OWNER, wanted(pods(250)), []))
    assert sorted(len(one.endpoints or []) for one in slices) == [50, MOST, MOST]
    changed = pods(250)
    changed[0] = make_pod("p0", ip="10.128.0.1", ready=False)
    step = plan(OWNER, wanted(changed), slices)
    assert (len(step.create), len(step.update), len(step.delete)) == (0, 1, 0)
    step = plan(OWNER, wanted(pods(251)), slices)
    assert (len(step.create), len(step.update), len(step.delete)) == (0, 1, 0)


def test_slices_carry_whose_they_are() -> None:
    (one,) = plan(OWNER, wanted(pods(1)), []).create
    assert one.metadata.labels == {
        "app": "web", "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "tests"
    }  # fmt: skip
    assert one.metadata.owner_references == [OWNER.reference]
    assert one.address_type == "IPv4"
    relabelled = codec.copy(one)
    relabelled.metadata.labels = {"app": "other"}
    assert plan(OWNER, wanted(pods(1)), [relabelled]).update


def test_a_create_that_is_not_seen_yet_gets_the_same_name_again() -> None:
    first, second = (plan(OWNER, wanted(pods(1)), []).create for _ in range(2))
    assert first == second


@given(st.lists(st.sets(st.integers(0, 300), max_size=260), min_size=1, max_size=5))
def test_nothing_is_lost_or_doubled_whatever_comes_and_goes(steps: list[set[int]]) -> None:
    slices: list[EndpointSlice] = []
    every = pods(301)
    for numbers in steps:
        now = [every[n] for n in numbers]
        slices = done(slices, plan(OWNER, wanted(now), slices))
        assert addresses(slices) == sorted(pod.status.pod_ip or "" for pod in now)
        assert all(len(one.endpoints or []) <= MOST for one in slices)
        assert plan(OWNER, wanted(now), slices) == Plan()


@pytest.mark.parametrize("ready", [True, False])
def test_hand_made_endpoints_are_mirrored(ready: bool) -> None:
    address = [EndpointAddress(ip="192.0.2.1", hostname="db", node_name="n1")]
    subset = EndpointSubset(
        addresses=address if ready else None,
        not_ready_addresses=None if ready else address,
        ports=[EndpointPort(name="sql", port=5432, protocol="TCP")],
    )
    endpoints = Endpoints(metadata=ObjectMeta(name="web", namespace="default"), subsets=[subset])
    (one,) = plan(OWNER, of_endpoints(endpoints), []).create
    (end,) = one.endpoints or ()
    assert (end.addresses, end.hostname, end.node_name) == (["192.0.2.1"], "db", "n1")
    assert end.conditions
    assert end.conditions.ready is ready
    assert [(port.name, port.port) for port in one.ports or ()] == [("sql", 5432)]
    assert plan(OWNER, {}, [one]) == Plan(delete=(one,))
