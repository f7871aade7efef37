"""What Services and Endpoints ask of the proxy, as tables."""

from ipaddress import IPv4Network

import pytest

from apimachinery.types import core_v1, meta_v1
from kube_proxy.services import ServicePort, external_targets, service_ports


def service(**spec: object) -> core_v1.Service:
    spec.setdefault("ports", [core_v1.ServicePort(port=80)])
    spec.setdefault("cluster_ip", "10.0.0.1")
    return core_v1.Service(
        metadata=meta_v1.ObjectMeta(name="a", namespace="ns"),
        spec=core_v1.ServiceSpec(**spec),  # type: ignore[arg-type]
    )


def port(**changes: object) -> ServicePort:
    values: dict[str, object] = {
        "name": "ns/a", "protocol": "TCP", "addresses": ("10.0.0.1",), "port": 80, "node_port": None,
        "affinity_seconds": None, "local_only": False,
    }  # fmt: skip
    return ServicePort(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param(service(), [port()], id="plain"),
        pytest.param(service(cluster_ip="None"), [], id="headless"),
        pytest.param(service(cluster_ip=None), [], id="no address yet"),
        pytest.param(service(type="ExternalName", external_name="example.org"), [], id="external name"),
        pytest.param(service(ports=None), [], id="no ports"),
        pytest.param(
            service(
                ports=[
                    core_v1.ServicePort(name="http", port=80, node_port=30080),
                    core_v1.ServicePort(name="dns", port=53, protocol="UDP"),
                    core_v1.ServicePort(name="odd", port=7, protocol="SCTP"),
                ]
            ),
            [port(name="ns/a:http", node_port=30080), port(name="ns/a:dns", port=53, protocol="UDP")],
            id="several",
        ),
        pytest.param(
            service(external_ips=["192.0.2.1", "10.0.0.1"], public_ips=["192.0.2.2"], deprecated_public_ips=["::1"]),
            [port(addresses=("10.0.0.1", "192.0.2.1", "192.0.2.2"))],
            id="more addresses, each once, IPv4 only",
        ),
        pytest.param(service(session_affinity="ClientIP"), [port(affinity_seconds=10800)], id="affinity, default"),
        pytest.param(
            service(
                session_affinity="ClientIP",
                session_affinity_config=core_v1.SessionAffinityConfig(
                    client_ip=core_v1.ClientIPConfig(timeout_seconds=60)
                ),
            ),
            [port(affinity_seconds=60)],
            id="affinity with its time-out",
        ),
    ],
)
def test_service_ports(obj: core_v1.Service, expected: list[ServicePort]) -> None:
    assert service_ports(obj) == expected


OUTSIDE = {"external_ips": ["192.0.2.1"], "ports": [core_v1.ServicePort(port=80, node_port=30080)]}


def test_where_the_policies_differ_a_port_is_served_twice() -> None:
    obj = service(external_traffic_policy="Local", **OUTSIDE)
    inside, outside = service_ports(obj)
    assert inside == port(insider_addresses=("192.0.2.1",), insider_node_port=30080)
    assert outside == port(
        name="ns/a/external", addresses=("192.0.2.1",), node_port=30080, local_only=True, outsiders_only=True
    )
    assert inside.endpoints_id == outside.endpoints_id == ("ns/a", "TCP")


def test_pods_go_everywhere_by_an_outside_address_even_where_the_cluster_ip_is_local() -> None:
    obj = service(internal_traffic_policy="Local", external_traffic_policy="Local", **OUTSIDE)
    inside, everywhere, outside = service_ports(obj)
    assert inside == port(local_only=True)
    assert everywhere == port(
        name="ns/a/everywhere", addresses=(), insider_addresses=("192.0.2.1",), insider_node_port=30080
    )
    assert outside.outsiders_only
    assert everywhere.endpoints_id == ("ns/a", "TCP")


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        pytest.param(
            {"internal_traffic_policy": "Local", "external_traffic_policy": "Local"}, [True, False, True], id="both"
        ),
        pytest.param({"internal_traffic_policy": "Cluster", "external_traffic_policy": "Cluster"}, [False], id="none"),
        pytest.param({"internal_traffic_policy": "Local"}, [True, False], id="inside"),
    ],
)
def test_traffic_policies(policies: dict[str, str], expected: list[bool]) -> None:
    assert [port.local_only for port in service_ports(service(**policies, **OUTSIDE))] == expected


def test_a_policy_for_traffic_that_cannot_come_makes_no_difference() -> None:
    assert service_ports(service(external_traffic_policy="Local")) == [port()]


def test_source_ranges_guard_what_a_load_balancer_was_given_and_nothing_else() -> None:
    obj = service(load_balancer_source_ranges=["198.51.100.0/24", "fd00::/8"], external_ips=["192.0.2.1"])
    obj.status.load_balancer.ingress = [core_v1.LoadBalancerIngress(ip="192.0.2.9")]
    assert service_ports(obj) == [
        port(
            addresses=("10.0.0.1", "192.0.2.1"),
            guarded=("192.0.2.9",),
            source_ranges=(IPv4Network("198.51.100.0/24"),),
        )
    ]


@pytest.mark.parametrize(("value", "expected"), [("v1", 1), ("v2", 2), ("v3", 0)])
def test_the_annotation_for_the_proxy_protocol(value: str, expected: int) -> None:
    ports = [core_v1.ServicePort(port=80), core_v1.ServicePort(name="u", port=80, protocol="UDP")]
    obj = service(ports=ports)
    obj.metadata.annotations = {"peapod.io/proxy-protocol": value}
    assert [port.settings.proxy_protocol for port in service_ports(obj)] == [expected, 0]


def test_an_address_that_a_service_does_not_get_is_left_out() -> None:
    obj = service(external_ips=["192.0.2.1", "192.0.2.2", "10.0.0.1"], external_traffic_policy="Local")
    assert external_targets(obj) == {("192.0.2.1", "TCP", 80), ("192.0.2.2", "TCP", 80)}
    refused = {("192.0.2.1", "TCP", 80), ("10.0.0.1", "TCP", 80)}
    inside, outside = service_ports(obj, refused)
    assert inside == port(insider_addresses=("192.0.2.2",))
    assert outside.addresses == ("192.0.2.2",)
    assert service_ports(obj, refused | {("192.0.2.2", "TCP", 80)}) == [port()]
