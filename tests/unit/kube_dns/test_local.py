"""What the zone answers: positive, without data, name error, or not its business."""

from ipaddress import IPv4Network

import pytest

from kube_dns import local
from kube_dns.query import ANY, NXDOMAIN
from kube_dns.records import AAAA, CNAME, NS, PTR, SOA, SRV, TXT, A, Endpoint, Record
from tests.unit.kube_dns.services import group, service, zone_of

WEB = "web.prod.svc.cluster.local"
HEADLESS = "db.prod.svc.cluster.local"
ZONE = zone_of(
    (service(ports=(("http", 80),)), [group(Endpoint("10.1.0.9"))]),
    (service("db", cluster_ip="None"), [group(Endpoint("10.1.0.1", "db-0"), ports=(("sql", 5432),))]),
    (service("idle", cluster_ip="None"), []),
    (service("out", type="ExternalName", external_name="www.example.com", cluster_ip=None), []),
    (service("in", type="ExternalName", external_name=WEB, cluster_ip=None), []),
    (service("round", type="ExternalName", external_name="about.prod.svc.cluster.local", cluster_ip=None), []),
    (service("about", type="ExternalName", external_name="round.prod.svc.cluster.local", cluster_ip=None), []),
    server_ip="10.0.0.10",
)


@pytest.mark.parametrize(
    ("name", "type", "record"),
    [
        (WEB, A, Record(A, "10.0.0.7")),
        (HEADLESS, A, Record(A, "10.1.0.1")),
        (f"db-0.{HEADLESS}", A, Record(A, "10.1.0.1")),
        (f"10-1-0-9.{WEB}", A, Record(A, "10.1.0.9")),
        (f"_http._tcp.{WEB}", SRV, Record(SRV, WEB, 80)),
        ("7.0.0.10.in-addr.arpa", PTR, Record(PTR, WEB)),
        ("1.0.1.10.in-addr.arpa", PTR, Record(PTR, f"db-0.{HEADLESS}")),
        ("dns-version.cluster.local", TXT, Record(TXT, "1.1.0")),
        ("cluster.local", SOA, Record(SOA, "cluster.local")),
        ("cluster.local", NS, Record(NS, "ns.dns.cluster.local")),
        ("ns.dns.cluster.local", A, Record(A, "10.0.0.10")),
        ("out.prod.svc.cluster.local", CNAME, Record(CNAME, "www.example.com")),
        (WEB, SRV, Record(SRV, WEB, 80)),
        (f"db-0.{HEADLESS}", SRV, Record(SRV, f"db-0.{HEADLESS}", 5432)),
        ("web.prod", A, Record(A, "10.0.0.7")),
        ("web.prod.svc", A, Record(A, "10.0.0.7")),
        ("db-0.db.prod", A, Record(A, "10.1.0.1")),
        ("_sql._tcp.db.prod", SRV, Record(SRV, f"db-0.{HEADLESS}", 5432)),
    ],
)
def test_a_name_is_answered(name: str, type: int, record: Record) -> None:
    answer = local.answer(ZONE, name, type)

    assert answer is not None
    assert (answer.rcode, answer.soa, answer.answers) == (0, None, [(None, record)])


@pytest.mark.parametrize(
    ("name", "type"),
    [
        (WEB, AAAA),
        (HEADLESS, AAAA),
        ("web.prod", AAAA),
        (WEB, TXT),
        ("cluster.local", A),
        ("svc.cluster.local", A),
        ("prod.svc.cluster.local", A),
        (f"_tcp.{WEB}", SRV),
        ("7.0.0.10.in-addr.arpa", A),
        ("10-1-2-3.prod.pod.cluster.local", AAAA),
    ],
)
def test_a_name_that_exists_without_such_data_is_no_name_error(name: str, type: int) -> None:
    answer = local.answer(ZONE, name, type)

    assert answer is not None
    assert (answer.rcode, answer.answers) == (0, [])
    assert answer.soa is not None
    assert name.endswith(answer.soa)


@pytest.mark.parametrize(
    "name",
    [
        "none.prod.svc.cluster.local",
        "web.default.svc.cluster.local",
        "idle.prod.svc.cluster.local",
        f"_none._tcp.{WEB}",
        f"a.b.{WEB}",
        "cluster.cluster.local",
        "www.google.com.prod.svc.cluster.local",
        "x.prod.pod.cluster.local",
    ],
)
def test_a_name_that_is_not_there_is_a_name_error_with_the_zone_s_soa(name: str) -> None:
    answer = local.answer(ZONE, name, A)

    assert answer is not None
    assert (answer.rcode, answer.answers, answer.soa) == (NXDOMAIN, [], "cluster.local")


@pytest.mark.parametrize(
    "name",
    [
        "www.example.com",
        "none.prod",
        "prod",
        "web",
        "",
        "idle.prod",
        "9.9.9.9.in-addr.arpa",
        "in-addr.arpa",
        "x.pod",
        "prod.svc",
        "_tcp.web.prod",
    ],
)
def test_all_other_names_are_for_others(name: str) -> None:
    assert local.answer(ZONE, name, A) is None


def test_reverse_names_in_the_cluster_s_ranges_are_denied_here() -> None:
    ranges = (IPv4Network("10.0.0.0/16"),)

    denied = local.answer(ZONE, "8.0.0.10.in-addr.arpa", PTR, ranges)
    assert denied is not None
    assert (denied.rcode, denied.soa) == (NXDOMAIN, "0.0.10.in-addr.arpa")
    assert local.answer(ZONE, "8.0.1.10.in-addr.arpa", PTR, ranges) is None
    assert local.answer(ZONE, "0.0.10.in-addr.arpa", PTR, ranges) is None


def test_srv_records_bring_the_addresses_of_their_targets() -> None:
    answer = local.answer(ZONE, f"_sql._tcp.{HEADLESS}", SRV)

    assert answer is not None
    assert answer.additional == [(f"db-0.{HEADLESS}", Record(A, "10.1.0.1"))]


def test_a_question_for_any_type_gets_all_of_them() -> None:
    answer = local.answer(ZONE, WEB, ANY)

    assert answer is not None
    assert answer.answers == [(None, Record(A, "10.0.0.7")), (None, Record(SRV, WEB, 80))]


def test_an_external_name_leads_elsewhere() -> None:
    answer = local.answer(ZONE, "out.prod.svc.cluster.local", A)

    assert answer is not None
    assert answer.answers == [(None, Record(CNAME, "www.example.com"))]
    assert answer.elsewhere == "www.example.com"


def test_an_external_name_of_a_service_is_followed_here() -> None:
    answer = local.answer(ZONE, "in.prod", A)

    assert answer is not None
    assert answer.answers == [(None, Record(CNAME, WEB)), (WEB, Record(A, "10.0.0.7"))]
    assert answer.elsewhere is None


def test_external_names_that_go_round_come_to_an_end() -> None:
    answer = local.answer(ZONE, "round.prod.svc.cluster.local", A)

    assert answer is not None
    assert len(answer.answers) == 8
