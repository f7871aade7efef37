"""What Services and Endpoints ask of the proxy, as tables."""

import pytest

from apimachinery.types import core_v1, meta_v1
from kube_proxy.services import ServicePort, backends, service_ports


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
        "affinity_seconds": None,
    }  # fmt: skip
    return ServicePort(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "expected"),
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
def test_service_ports(wanted: core_v1.Service, expected: list[ServicePort]) -> None:
    assert service_ports(wanted) == expected


def subset(ready: list[str], not_ready: list[str], **ports: int) -> core_v1.EndpointSubset:
    return core_v1.EndpointSubset(
        addresses=[core_v1.EndpointAddress(ip=ip) for ip in ready],
        not_ready_addresses=[core_v1.EndpointAddress(ip=ip) for ip in not_ready],
        ports=[core_v1.EndpointPort(name=name.strip("_") or None, port=port) for name, port in ports.items()],
    )


@pytest.mark.parametrize(
    ("subsets", "expected"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param(
            [subset(["10.1.0.2", "10.1.0.1"], ["10.1.0.3"], _=8080)],
            {("ns/a", "TCP"): (("10.1.0.1", 8080), ("10.1.0.2", 8080))},
            id="ready ones only",
        ),
        pytest.param(
            [subset(["10.1.0.1"], [], http=80, admin=81), subset(["10.1.0.2"], [], http=8080)],
            {
                ("ns/a:http", "TCP"): (("10.1.0.1", 80), ("10.1.0.2", 8080)),
                ("ns/a:admin", "TCP"): (("10.1.0.1", 81),),
            },
            id="subsets are joined by the port's name",
        ),
        pytest.param([subset([], ["10.1.0.1"], _=80)], {("ns/a", "TCP"): ()}, id="nobody ready"),
    ],
)
def test_backends(subsets: list[core_v1.EndpointSubset] | None, expected: object) -> None:
    endpoints = core_v1.Endpoints(metadata=meta_v1.ObjectMeta(name="a", namespace="ns"), subsets=subsets)
    assert backends(endpoints) == expected
