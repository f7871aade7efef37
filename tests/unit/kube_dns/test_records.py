"""The records of a service, by the sections of the DNS specification."""

import pytest

from apimachinery.core import well_known
from apimachinery.types import core_v1
from kube_dns import records
from kube_dns.records import AAAA, CNAME, PTR, SRV, A, Endpoint, Record
from tests.unit.kube_dns.services import DOMAIN, group, service

WEB = "web.prod.svc.cluster.local"


def test_a_cluster_ip_has_an_address_a_reverse_name_and_an_srv_record_for_each_port() -> None:
    by_name = records.of_service(service(ports=(("http", 80), ("", 81))), [], DOMAIN)

    assert by_name == {
        WEB: (Record(A, "10.0.0.7"), Record(SRV, WEB, 80), Record(SRV, WEB, 81)),
        "7.0.0.10.in-addr.arpa": (Record(PTR, WEB),),
        f"_http._tcp.{WEB}": (Record(SRV, WEB, 80),),
    }


def test_the_protocol_of_a_port_is_part_of_the_name_of_its_srv_record() -> None:
    dns = service(ports=(("dns", 53),))
    dns.spec.ports = [core_v1.ServicePort(name="dns", protocol="UDP", port=53)]

    assert f"_dns._udp.{WEB}" in records.of_service(dns, [], DOMAIN)


def test_a_headless_service_has_its_ready_endpoints_by_address_and_by_hostname() -> None:
    headless = service(cluster_ip="None", ports=(("http", 80),))
    endpoints = group(
        Endpoint("10.1.0.1", "db-0"),
        Endpoint("10.1.0.2"),
        Endpoint("10.1.0.3", ready=False),
        ports=(("http", 8080),),
    )

    by_name = records.of_service(headless, [endpoints], DOMAIN)

    first, second = Record(SRV, f"db-0.{WEB}", 8080), Record(SRV, f"10-1-0-2.{WEB}", 8080)
    assert by_name[WEB] == (Record(A, "10.1.0.1"), first, Record(A, "10.1.0.2"), second)
    assert by_name[f"db-0.{WEB}"] == (Record(A, "10.1.0.1"), first)
    assert by_name[f"10-1-0-2.{WEB}"] == (Record(A, "10.1.0.2"), second)
    assert by_name[f"_http._tcp.{WEB}"] == (first, second)
    assert by_name["1.0.1.10.in-addr.arpa"] == (Record(PTR, f"db-0.{WEB}"),)
    assert "3.0.1.10.in-addr.arpa" not in by_name


def test_endpoints_that_share_a_hostname_share_the_name_and_one_srv_record() -> None:
    endpoints = group(Endpoint("10.1.0.1", "db"), Endpoint("10.1.0.2", "db"), ports=(("http", 8080),))

    by_name = records.of_service(service(cluster_ip="None"), [endpoints], DOMAIN)

    assert by_name[f"db.{WEB}"] == (Record(A, "10.1.0.1"), Record(SRV, f"db.{WEB}", 8080), Record(A, "10.1.0.2"))
    assert by_name[f"_http._tcp.{WEB}"] == (Record(SRV, f"db.{WEB}", 8080),)


def test_an_endpoint_in_two_groups_has_one_address_and_the_ports_of_both() -> None:
    groups = [group(Endpoint("10.1.0.1"), ports=((name, port),)) for name, port in (("http", 80), ("admin", 81))]

    by_name = records.of_service(service(cluster_ip="None"), groups, DOMAIN)

    own = f"10-1-0-1.{WEB}"
    assert by_name[WEB] == (Record(A, "10.1.0.1"), Record(SRV, own, 80), Record(SRV, own, 81))
    assert f"_http._tcp.{WEB}" in by_name
    assert f"_admin._tcp.{WEB}" in by_name


@pytest.mark.parametrize("by", ["field", "annotation"])
def test_unready_endpoints_are_published_where_the_service_asks_for_it(by: str) -> None:
    headless = service(cluster_ip="None", publish_not_ready_addresses=by == "field")
    if by == "annotation":
        headless.metadata.annotations = {well_known.TOLERATE_UNREADY_ANNOTATION: "true"}

    by_name = records.of_service(headless, [group(Endpoint("10.1.0.1", ready=False))], DOMAIN)

    assert by_name[WEB] == (Record(A, "10.1.0.1"),)


def test_a_headless_service_without_ready_endpoints_has_no_records() -> None:
    assert records.of_service(service(cluster_ip="None"), [group(Endpoint("10.1.0.1", ready=False))], DOMAIN) == {}


def test_endpoints_of_a_cluster_ip_have_names_but_do_not_change_its_own() -> None:
    by_name = records.of_service(service(), [group(Endpoint("10.1.0.1", "one"))], DOMAIN)

    assert by_name[WEB] == (Record(A, "10.0.0.7"),)
    assert by_name[f"one.{WEB}"] == (Record(A, "10.1.0.1"),)


def test_an_external_name_is_an_alias_and_nothing_else() -> None:
    external = service(type="ExternalName", external_name="WWW.example.com.", cluster_ip=None, ports=(("http", 80),))

    assert records.of_service(external, [], DOMAIN) == {WEB: (Record(CNAME, "www.example.com"),)}


def test_ipv6_addresses_have_aaaa_records_and_names_in_ip6_arpa() -> None:
    by_name = records.of_service(service(cluster_ip="None"), [group(Endpoint("fd00::1"))], DOMAIN)

    assert by_name[WEB] == (Record(AAAA, "fd00::1"),)
    assert [name for name in by_name if name.endswith(".ip6.arpa")]


def test_names_are_lower_case() -> None:
    by_name = records.of_service(service(cluster_ip="None"), [group(Endpoint("10.1.0.1", "DB-0"))], DOMAIN)

    assert f"db-0.{WEB}" in by_name


@pytest.mark.parametrize(
    ("label", "address"),
    [("10-1-2-3", "10.1.2.3"), ("fd00--1", "fd00::1"), ("10-1-2", None), ("10-1-2-256", None), ("web", None)],
)
def test_a_label_is_read_as_an_address(label: str, address: str | None) -> None:
    assert records.undashed(label) == address
