"""Who serves a port, as tables: from Endpoints and from slices."""

import pytest

from apimachinery.meta import Key
from apimachinery.types import core_v1, discovery_v1, meta_v1
from kube_proxy.endpoints import Reachable, of_endpoints, of_slices

A, B, C = ("10.1.0.1", 8080), ("10.1.0.2", 8080), ("10.1.0.3", 8080)


def subset(ready: list[str], not_ready: list[str], **ports: int) -> core_v1.EndpointSubset:
    return core_v1.EndpointSubset(
        addresses=[core_v1.EndpointAddress(ip=ip, node_name="here" if ip == A[0] else "there") for ip in ready],
        not_ready_addresses=[core_v1.EndpointAddress(ip=ip) for ip in not_ready],
        ports=[core_v1.EndpointPort(name=name.strip("_") or None, port=port) for name, port in ports.items()],
    )


@pytest.mark.parametrize(
    ("subsets", "expected"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param(
            [subset([B[0], A[0]], [C[0]], _=8080)],
            {("ns/a", "TCP"): Reachable((A, B), (A,))},
            id="ready ones only, those of this node apart",
        ),
        pytest.param(
            [subset([A[0]], [], http=80, admin=81), subset([B[0]], [], http=8080)],
            {
                ("ns/a:http", "TCP"): Reachable(((A[0], 80), B), ((A[0], 80),)),
                ("ns/a:admin", "TCP"): Reachable(((A[0], 81),), ((A[0], 81),)),
            },
            id="subsets are joined by the port's name",
        ),
        pytest.param([subset([], [A[0]], _=80)], {("ns/a", "TCP"): Reachable()}, id="nobody ready"),
    ],
)
def test_of_endpoints(subsets: list[core_v1.EndpointSubset] | None, expected: object) -> None:
    endpoints = core_v1.Endpoints(metadata=meta_v1.ObjectMeta(name="a", namespace="ns"), subsets=subsets)
    assert of_endpoints(endpoints, "here") == expected


def endpoint(
    ip: str, ready: bool | None = None, serving: bool | None = None, terminating: bool | None = None
) -> discovery_v1.Endpoint:
    return discovery_v1.Endpoint(
        addresses=[ip],
        conditions=discovery_v1.EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        node_name="here" if ip == A[0] else "there",
    )


def one_slice(*endpoints: discovery_v1.Endpoint, family: str = "IPv4", **port: object) -> discovery_v1.EndpointSlice:
    ports = [discovery_v1.EndpointPort(**({"port": 8080} | port))]  # type: ignore[arg-type]
    return discovery_v1.EndpointSlice(address_type=family, endpoints=[*endpoints], ports=ports)


GOING = {"ready": False, "serving": True, "terminating": True}


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        pytest.param([], None, id="none"),
        pytest.param([one_slice(endpoint(A[0]), endpoint(B[0], ready=True))], Reachable((A, B), (A,)), id="ready"),
        pytest.param([one_slice(endpoint(A[0]), endpoint(B[0], ready=False))], Reachable((A,), (A,)), id="unready"),
        pytest.param([one_slice(endpoint(B[0])), one_slice(endpoint(A[0]))], Reachable((A, B), (A,)), id="two slices"),
        pytest.param([one_slice(endpoint(A[0]), endpoint(B[0], **GOING))], Reachable((A,), (A,)), id="drained"),
        pytest.param(
            [one_slice(endpoint(C[0]), endpoint(A[0], **GOING))],
            Reachable((C,), (A,)),
            id="the last one of this node goes: still better than none, here",
        ),
        pytest.param([one_slice(endpoint(B[0], **GOING))], Reachable((B,), ()), id="all go: better than nobody"),
        pytest.param(
            [one_slice(endpoint(B[0], ready=False, serving=False, terminating=True))],
            Reachable(),
            id="gone and no longer serving",
        ),
        pytest.param([one_slice(endpoint("fd00::1"), family="IPv6")], None, id="another family"),
        pytest.param([one_slice(endpoint(A[0]), port=None)], None, id="no port"),
    ],
)
def test_of_slices(slices: list[discovery_v1.EndpointSlice], expected: Reachable | None) -> None:
    by_port = of_slices(slices, Key("ns", "a"), "here")
    assert by_port == ({("ns/a", "TCP"): expected} if expected is not None else {})


def test_ports_of_slices_are_told_apart_by_name_and_protocol() -> None:
    slices = [
        one_slice(endpoint(A[0]), name="dns", port=53, protocol="UDP"),
        one_slice(endpoint(A[0]), name="dns", port=54, protocol="TCP"),
    ]
    by_port = of_slices(slices, Key("ns", "a"), "there")
    assert by_port == {
        ("ns/a:dns", "UDP"): Reachable(((A[0], 53),)),
        ("ns/a:dns", "TCP"): Reachable(((A[0], 54),)),
    }


def test_only_ready_endpoints_of_this_node_count_for_its_health() -> None:
    def endpoint(address: str, node: str, **conditions: bool) -> discovery_v1.Endpoint:
        return discovery_v1.Endpoint(
            addresses=[address], node_name=node, conditions=discovery_v1.EndpointConditions(**conditions)
        )

    endpoint_slice = discovery_v1.EndpointSlice(
        address_type="IPv4",
        ports=[discovery_v1.EndpointPort(name="", port=80)],
        endpoints=[
            endpoint("10.1.0.1", "here", ready=True),
            endpoint("10.1.0.2", "here", ready=False, serving=True, terminating=True),
            endpoint("10.1.0.3", "there", ready=True),
        ],
    )
    (reachable,) = of_slices([endpoint_slice], Key("ns", "a"), "here").values()
    assert reachable.ready_here == {"10.1.0.1"}
