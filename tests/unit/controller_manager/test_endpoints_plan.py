"""From a service and its pods to the subsets of its Endpoints."""

import random

from apimachinery.types.core_v1 import EndpointSubset, ServicePort
from controller_manager.endpoints_plan import labels_for, subsets
from controller_manager.service_endpoints import same_to_services
from tests.objects import make_container, make_pod, make_service


def summary(subsets: list[EndpointSubset]) -> list[tuple[list[str], list[str], list[tuple[str | None, int]]]]:
    return [
        (
            [address.ip for address in subset.addresses or ()],
            [address.ip for address in subset.not_ready_addresses or ()],
            [(port.name, port.port) for port in subset.ports or ()],
        )
        for subset in subsets
    ]


A = make_pod("a", node="n1", ip="10.128.0.2", ready=True, ports={"http": 8080})
B = make_pod("b", node="n2", ip="10.128.1.2", ready=True, ports={"http": 9090})
C = make_pod("c", node="n2", ip="10.128.1.3", ready=False, ports={"http": 8080})


def test_ready_and_not_ready_addresses_say_whose_they_are() -> None:
    (subset,) = subsets(make_service(), [C, A])
    assert summary([subset]) == [(["10.128.0.2"], ["10.128.1.3"], [(None, 8080)])]
    address = (subset.addresses or [])[0]
    reference = address.target_ref
    assert address.node_name == "n1"
    assert reference is not None
    assert (reference.kind, reference.namespace, reference.name) == ("Pod", "default", "a")
    assert reference.uid == "uid-default-a"


def test_a_named_target_port_that_differs_per_pod_makes_two_subsets() -> None:
    service = make_service(ports=[ServicePort(name="web", port=80, target_port="http")])
    assert summary(subsets(service, [A, B, C])) == [
        (["10.128.0.2"], ["10.128.1.3"], [("web", 8080)]),
        (["10.128.1.2"], [], [("web", 9090)]),
    ]


def test_a_sidecars_port_is_found_by_name_after_the_containers_own() -> None:
    service = make_service(ports=[ServicePort(name="metrics", port=80, target_port="metrics")])
    sidecar = make_container(ports={"metrics": 9100}, name="exporter")
    sidecar.restart_policy = "Always"
    pod = make_pod("a", ip="10.128.0.2", ready=True, init_containers=[sidecar])
    assert summary(subsets(service, [pod])) == [(["10.128.0.2"], [], [("metrics", 9100)])]
    pod.spec.containers = [make_container(ports={"metrics": 9200})]
    assert summary(subsets(service, [pod])) == [(["10.128.0.2"], [], [("metrics", 9200)])]


def test_several_ports_share_one_subset_and_a_pod_without_the_named_port_has_fewer() -> None:
    ports = [ServicePort(name="web", port=80, target_port="http"), ServicePort(name="raw", port=81, target_port=7)]
    bare = make_pod("d", ip="10.128.0.9", ready=True)
    assert summary(subsets(make_service(ports=ports), [A, bare])) == [
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


def test_a_terminating_or_terminal_pod_and_one_without_an_address_are_left_out() -> None:
    ending = make_pod("a", ip="10.128.0.2", ready=True)
    ending.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    ended, without = make_pod("b", ip="10.128.0.3", phase="Succeeded"), make_pod("c", ready=True)
    assert subsets(make_service(), [ending, ended, without]) == []


def test_publish_not_ready_addresses_publishes_them_as_ready() -> None:
    service = make_service(publish_not_ready_addresses=True)
    assert summary(subsets(service, [C])) == [(["10.128.1.3"], [], [(None, 8080)])]
    annotated = make_service()
    annotated.metadata.annotations = {"service.alpha.kubernetes.io/tolerate-unready-endpoints": "true"}
    assert subsets(annotated, [C]) == subsets(service, [C])


def test_a_headless_service_without_ports_lists_addresses_and_hostnames() -> None:
    service = make_service("peers", ports=[], cluster_ip="None")
    named = make_pod("a", ip="10.128.0.2", ready=True, hostname="zero", subdomain="peers")
    (subset,) = subsets(service, [named])
    assert summary([subset]) == [(["10.128.0.2"], [], [])]
    assert (subset.addresses or [])[0].hostname == "zero"
    assert labels_for(service) == {"service.kubernetes.io/headless": ""}


def test_a_heartbeat_of_a_pod_changes_nothing_and_readiness_does() -> None:
    assert same_to_services(A, make_pod("a", node="n1", ip="10.128.0.2", ready=True, age=1))
    assert not same_to_services(A, make_pod("a", node="n1", ip="10.128.0.2", ready=False))
    assert not same_to_services(A, make_pod("a", node="n1", ip="10.128.0.5", ready=True))
