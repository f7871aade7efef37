"""EndpointSlices as the zone's source: whose they are, who in them is ready, which ports they have."""

import pytest

from apimachinery.meta import Key
from apimachinery.types import meta_v1
from apimachinery.types.discovery_v1 import Endpoint as SliceEndpoint
from apimachinery.types.discovery_v1 import EndpointConditions, EndpointPort, EndpointSlice
from kube_dns import endpointslices, records
from kube_dns.records import AAAA, A, Endpoint, Group, Port, Record
from tests.unit.kube_dns.services import DOMAIN, addresses_of, service

WEB = "web.prod.svc.cluster.local"
HTTP = EndpointPort(name="http", port=80, protocol="TCP")


def slice_of(
    *endpoints: SliceEndpoint,
    name: str = "web-1",
    address_type: str = "IPv4",
    ports: tuple[EndpointPort, ...] = (HTTP,),
    labels: dict[str, str] | None = None,
) -> EndpointSlice:
    return EndpointSlice(
        metadata=meta_v1.ObjectMeta(name=name, namespace="prod", labels=labels),
        address_type=address_type,
        endpoints=[*endpoints],
        ports=[*ports],
    )


def endpoint(*addresses: str, hostname: str | None = None, **conditions: bool) -> SliceEndpoint:
    return SliceEndpoint(
        addresses=[*addresses],
        hostname=hostname,
        conditions=EndpointConditions(**conditions) if conditions else None,
    )


def addresses(*slices: EndpointSlice, name: str = WEB, **spec: object) -> tuple[Record, ...]:
    headless = service(cluster_ip="None", **spec)
    addresses = records.of_service(headless, endpointslices.groups_of(slices), DOMAIN).get(name, ())
    return addresses_of(addresses)


def test_a_slice_belongs_to_the_service_of_its_label_in_its_own_namespace() -> None:
    labelled = slice_of(labels={"kubernetes.io/service-name": "web"})

    assert endpointslices.index(labelled) == [Key("prod", "web")]
    assert endpointslices.index(slice_of()) == []


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ({}, True),
        ({"ready": True}, True),
        ({"serving": True}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, False),
        ({"ready": False, "serving": False, "terminating": True}, False),
        ({"ready": True, "serving": True, "terminating": True}, True),
    ],
    ids=str,
)
def test_an_endpoint_is_published_unless_it_says_that_it_is_not_ready(conditions: dict[str, bool], ready: bool) -> None:
    records = addresses(slice_of(endpoint("10.1.0.1", **conditions)))

    assert records == ((Record(A, "10.1.0.1"),) if ready else ())


def test_a_service_that_publishes_unready_addresses_publishes_those_on_their_way_out_too() -> None:
    leaving = endpoint("10.1.0.1", ready=False, serving=False, terminating=True)

    assert addresses(slice_of(leaving), publish_not_ready_addresses=True) == (Record(A, "10.1.0.1"),)


def test_all_addresses_of_an_endpoint_share_its_hostname() -> None:
    endpoint_slice = slice_of(endpoint("10.1.0.1", "10.1.0.2", hostname="db-0"))

    assert addresses(endpoint_slice, name=f"db-0.{WEB}") == (Record(A, "10.1.0.1"), Record(A, "10.1.0.2"))


def test_slices_of_both_families_make_one_name() -> None:
    six = slice_of(endpoint("fd00::1"), name="web-6", address_type="IPv6")

    assert addresses(six, slice_of(endpoint("10.1.0.1"))) == (Record(A, "10.1.0.1"), Record(AAAA, "fd00::1"))


def test_an_endpoint_in_two_slices_is_one() -> None:
    twice = [slice_of(endpoint("10.1.0.1"), name=name) for name in ("a", "b")]

    assert addresses(*twice) == (Record(A, "10.1.0.1"),)


def test_slices_of_names_have_no_addresses_to_publish() -> None:
    assert endpointslices.groups_of([slice_of(endpoint("db.example.com"), address_type="FQDN")]) == []


def test_a_port_without_a_number_stands_for_all_and_has_no_srv_record() -> None:
    ports = (EndpointPort(name="any"), EndpointPort(name="dns", port=53, protocol="UDP"))

    (group,) = endpointslices.groups_of([slice_of(endpoint("10.1.0.1"), ports=ports)])

    assert group == Group((Endpoint("10.1.0.1"),), (Port("dns", "UDP", 53),))
