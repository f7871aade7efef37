"""From a service and its pods to the subsets of its Endpoints."""

import random

from apimachinery.types.core_v1 import EndpointSubset, ServicePort
from controller_manager.endpoints_plan import labels, same_to_services, subsets
from tests.objects import make_pod, make_service


def seen(found: list[EndpointSubset]) -> list[tuple[list[str], list[str], list[tuple[str | None, int]]]]:
    return [
        (
            [one.ip for one in subset.addresses or ()],
            [one.ip for one in subset.not_ready_addresses or ()],
            [(one.name, one.port) for one in subset.ports or ()],
        )
        for subset in found
    ]


A = make_pod("a", node="n1", ip="10.128.0.2", ready=True, ports={"http": 8080})
B = make_pod("b", node="n2", ip="10.128.1.2", ready=True, ports={"http": 9090})
C = make_pod("c", node="n2", ip="10.128.1.3", ready=False, ports={"http": 8080})


def test_ready_and_not_ready_addresses_say_whose_they_are() -> None:
    found = subsets(make_service(), [C, A])
    assert seen(found) == [(["10.128.0.2"], ["10.128.1.3"], [(None, 8080)])]
    address = (found[0].addresses or [])[0]
    reference = address.target_ref
    assert address.node_name == "n1"
    assert reference is not None
    assert (reference.kind, reference.namespace, reference.name) == ("Pod", "default", "a")
    assert reference.uid == "uid-default-a"


def test_a_named_target_port_that_differs_per_pod_makes_two_subsets() -> None:
    service = make_service(ports=[ServicePort(name="web", port=80, target_port="http")])
    assert seen(subsets(service, [A, B, C])) == [
        (["10.128.0.2"], ["10.128.1.3"], [("web", 8080)]),
        (["10.128.1.2"], [], [("web", 9090)]),
    ]


def test_several_ports_share_one_subset_and_a_pod_without_the_named_port_has_fewer() -> None:
    ports = [ServicePort(name="web", port=80, target_port="http"), ServicePort(name="raw", port=81, target_port=7)]
    bare = make_pod("d", ip="10.128.0.9", ready=True)
    assert seen(subsets(make_service(ports=ports), [A, bare])) == [
        (["10.128.0.9"], [], [("raw", 7)]),
        (["10.128.0.2"], [], [("raw", 7), ("web", 8080)]),
    ]
    assert subsets(make_service(ports=ports[:1]), [bare]) == []


def test_the_order_of_pods_makes_no_difference() -> None:
    pods = [make_pod(f"p{i}", ip=f"10.128.0.{i}", ready=i % 3 > 0, ports={"http": 80 + i % 2}) for i in range(2, 20)]
    service = make_service(ports=[ServicePort(port=80, target_port="http")])
    first = subsets(service, pods)
    random.shuffle(pods)
    assert subsets(service, pods) == first


def test_who_ends_or_has_ended_or_has_no_address_is_left_out() -> None:
    ending = make_pod("a", ip="10.128.0.2", ready=True)
    ending.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    ended, without = make_pod("b", ip="10.128.0.3", phase="Succeeded"), make_pod("c", ready=True)
    assert subsets(make_service(), [ending, ended, without]) == []


def test_publish_not_ready_addresses_publishes_them_as_ready() -> None:
    service = make_service(publish_not_ready_addresses=True)
    assert seen(subsets(service, [C])) == [(["10.128.1.3"], [], [(None, 8080)])]


def test_a_headless_service_without_ports_lists_addresses_and_hostnames() -> None:
    service = make_service("peers", ports=[], cluster_ip="None")
    named = make_pod("a", ip="10.128.0.2", ready=True, hostname="zero", subdomain="peers")
    found = subsets(service, [named])
    assert seen(found) == [(["10.128.0.2"], [], [])]
    assert (found[0].addresses or [])[0].hostname == "zero"
    assert labels(service) == {"service.kubernetes.io/headless": ""}


def test_a_heartbeat_of_a_pod_changes_nothing_and_readiness_does() -> None:
    assert same_to_services(A, make_pod("a", node="n1", ip="10.128.0.2", ready=True, age=1))
    assert not same_to_services(A, make_pod("a", node="n1", ip="10.128.0.2", ready=False))
    assert not same_to_services(A, make_pod("a", node="n1", ip="10.128.0.5", ready=True))
