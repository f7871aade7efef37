"""Kubernetes' DNS-Based Service Discovery, version 1.1.0, section by section, as bytes in and out.

The objects are as the API has them: services, and EndpointSlices as the endpoint slice controller writes them.
"""

import asyncio
from collections.abc import AsyncIterator

import dnslib
import pytest

from apimachinery import meta
from apimachinery.core import well_known
from apimachinery.types.core_v1 import Service
from apimachinery.types.discovery_v1 import EndpointPort, EndpointSlice
from kube_dns import records
from kube_dns.encoding import Encoder
from kube_dns.endpointslices import groups_of
from kube_dns.forwarder import Forwarder
from kube_dns.resolver import Resolver, Waiting
from kube_dns.upstreams import Upstreams
from kube_dns.zone import Zone
from tests.unit.kube_dns.services import service
from tests.unit.kube_dns.test_endpointslices import endpoint, slice_of

TTL = 5
NS = "prod.svc.cluster.local"
PORTS = (EndpointPort(name="sql", port=5432, protocol="TCP"), EndpointPort(name="stats", port=9000, protocol="UDP"))
ENDS = "0.0.0.0." * 6 + "0.0.d.f.ip6.arpa"  # of fd00::


def services() -> list[tuple[Service, list[EndpointSlice]]]:
    tolerant = service("tolerant", cluster_ip="None")
    tolerant.metadata.annotations = {well_known.TOLERATE_UNREADY_ANNOTATION: "true"}
    first = slice_of(
        endpoint("10.1.0.1", hostname="db-0", ready=True),
        endpoint("10.1.0.2", ready=True),
        endpoint("10.1.0.3", hostname="db-2", ready=False),
        ports=PORTS,
    )
    second = slice_of(endpoint("fd00::1", hostname="db-0", ready=True), name="web-2", address_type="IPv6", ports=PORTS)
    external = service("out", type="ExternalName", external_name="www.example.com", cluster_ip=None)
    return [
        (service("dual", cluster_ips=["10.0.0.7", "fd00::7"], ports=(("https", 443), ("", 80))), []),
        (service("db", cluster_ip="None"), [first, second]),
        (service("asleep", cluster_ip="None"), [slice_of(endpoint("10.1.0.9", hostname="z", ready=False))]),
        (tolerant, [slice_of(endpoint("10.1.0.8", ready=False))]),
        (external, []),
    ]


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    zone = Zone("cluster.local")
    zone.replace("prod", records.of_namespace("prod", zone.domain))
    for obj, slices in services():
        zone.replace(meta.key_of(obj), records.of_service(obj, groups_of(slices), zone.domain))
    async with asyncio.TaskGroup() as tasks:
        forwarder = Forwarder(Upstreams(), tasks, cache_size=10)
        yield Resolver(zone, Encoder(zone.domain, TTL, serial=1), forwarder, synced=lambda: True)


async def ask(resolver: Resolver, name: str, type: str) -> dnslib.DNSRecord:
    response = resolver.respond(bytes(dnslib.DNSRecord.question(name, type).pack()), stream=True)
    answer = await resolver.resolve(response) if isinstance(response, Waiting) else response
    assert answer is not None
    return dnslib.DNSRecord.parse(answer)


@pytest.mark.parametrize(
    ("name", "type", "data"),
    [
        pytest.param("dns-version.cluster.local", "TXT", ['"1.1.0"'], id="2.2 version"),
        pytest.param(f"dual.{NS}", "A", ["10.0.0.7"], id="2.3.1 cluster IP"),
        pytest.param(f"dual.{NS}", "AAAA", ["fd00::7"], id="2.3.1 IPv6 cluster IP"),
        pytest.param(f"_https._tcp.dual.{NS}", "SRV", [f"0 100 443 dual.{NS}."], id="2.3.2 port"),
        pytest.param("7.0.0.10.in-addr.arpa", "PTR", [f"dual.{NS}."], id="2.3.3 reverse"),
        pytest.param(f"7.0.0.0.{ENDS}", "PTR", [f"dual.{NS}."], id="2.3.3 IPv6 reverse"),
        pytest.param(f"db.{NS}", "A", ["10.1.0.1", "10.1.0.2"], id="2.4.1 every ready endpoint"),
        pytest.param(f"db.{NS}", "AAAA", ["fd00::1"], id="2.4.1 every ready IPv6 endpoint"),
        pytest.param(f"db-0.db.{NS}", "A", ["10.1.0.1"], id="2.4.1 hostname"),
        pytest.param(f"db-0.db.{NS}", "AAAA", ["fd00::1"], id="2.4.1 hostname, its IPv6 address"),
        pytest.param(f"10-1-0-2.db.{NS}", "A", ["10.1.0.2"], id="2.4.1 identifier of the system's"),
        pytest.param(
            f"_sql._tcp.db.{NS}",
            "SRV",
            [f"0 100 5432 10-1-0-2.db.{NS}.", f"0 100 5432 db-0.db.{NS}."],
            id="2.4.2 every hostname of a port",
        ),
        pytest.param(
            f"_stats._udp.db.{NS}",
            "SRV",
            [f"0 100 9000 10-1-0-2.db.{NS}.", f"0 100 9000 db-0.db.{NS}."],
            id="2.4.2 every port of a hostname",
        ),
        pytest.param("1.0.1.10.in-addr.arpa", "PTR", [f"db-0.db.{NS}."], id="2.4.3 reverse"),
        pytest.param(f"1.0.0.0.{ENDS}", "PTR", [f"db-0.db.{NS}."], id="2.4.3 IPv6 reverse"),
        pytest.param(f"out.{NS}", "CNAME", ["www.example.com."], id="2.5 external name"),
        pytest.param(f"out.{NS}", "A", ["www.example.com."], id="2.5 external name, for its address"),
        pytest.param("10-1-2-3.prod.pod.cluster.local", "A", ["10.1.2.3"], id="2.6 pod"),
        pytest.param("0-0-0-0.prod.pod.cluster.local", "A", ["0.0.0.0"], id="2.6 any value"),
        pytest.param("255-255-255-255.prod.pod.cluster.local", "A", ["255.255.255.255"], id="2.6 up to 255"),
        pytest.param(f"tolerant.{NS}", "A", ["10.1.0.8"], id="2.1 ready by annotation"),
        pytest.param(f"DB-0.Db.{NS.upper()}", "A", ["10.1.0.1"], id="2.1 case"),
        pytest.param(f"_SQL._Tcp.db.{NS}", "SRV", [f"0 100 5432 10-1-0-2.db.{NS}.", f"0 100 5432 db-0.db.{NS}."]),
    ],
)
async def test_a_record_exists(resolver: Resolver, name: str, type: str, data: list[str]) -> None:
    answer = await ask(resolver, name, type)

    assert answer.header.rcode == 0
    assert sorted(str(record.rdata) for record in answer.rr) == data
    assert {(str(record.rname), record.rclass, record.ttl) for record in answer.rr} == {(f"{name}.", 1, TTL)}


@pytest.mark.parametrize(
    ("name", "type", "rcode"),
    [
        pytest.param(f"asleep.{NS}", "A", "NXDOMAIN", id="2.4.1 no ready endpoint"),
        pytest.param(f"z.asleep.{NS}", "A", "NXDOMAIN", id="2.4.1 hostname of an unready endpoint"),
        pytest.param(f"db-2.db.{NS}", "A", "NXDOMAIN", id="2.4.1 unready hostname"),
        pytest.param(f"_http._tcp.asleep.{NS}", "SRV", "NXDOMAIN", id="2.4.2 no ready endpoint"),
        pytest.param(f"_._tcp.dual.{NS}", "SRV", "NXDOMAIN", id="2.3.2 unnamed port"),
        pytest.param(f"_https._udp.dual.{NS}", "SRV", "NXDOMAIN", id="2.3.2 another protocol"),
        pytest.param("10-1-2-256.prod.pod.cluster.local", "A", "NXDOMAIN", id="2.6 above 255"),
        pytest.param("10-1-2-3.nowhere.pod.cluster.local", "A", "NXDOMAIN", id="2.6 no such namespace"),
    ],
)
async def test_a_record_does_not_exist(resolver: Resolver, name: str, type: str, rcode: str) -> None:
    answer = await ask(resolver, name, type)

    assert (dnslib.RCODE[answer.header.rcode], answer.rr) == (rcode, [])
    assert [(record.rtype, record.ttl) for record in answer.auth] == [(dnslib.QTYPE.SOA, TTL)]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param(f"dual.{NS}", [f"0 100 443 dual.{NS}.", f"0 100 80 dual.{NS}."], id="cluster IP"),
        pytest.param(
            f"db.{NS}",
            [f"0 100 {port} {name}.db.{NS}." for port in (5432, 9000) for name in ("10-1-0-2", "db-0")],
            id="headless",
        ),
        pytest.param(f"db-0.db.{NS}", [f"0 100 5432 db-0.db.{NS}.", f"0 100 9000 db-0.db.{NS}."], id="endpoint"),
    ],
)
async def test_a_bare_name_has_srv_records_for_all_ports(resolver: Resolver, name: str, data: list[str]) -> None:
    """Beyond the specification, as CoreDNS answers: members of a cluster find their peers like this."""
    answer = await ask(resolver, name, "SRV")

    assert sorted(str(record.rdata) for record in answer.rr) == data
    assert answer.ar


async def test_unready_endpoints_have_no_reverse_name(resolver: Resolver) -> None:
    """2.4.3. The name is not this server's to deny, so it is passed on, and nobody is there to ask."""
    answer = await ask(resolver, "3.0.1.10.in-addr.arpa", "PTR")

    assert (dnslib.RCODE[answer.header.rcode], answer.rr) == ("REFUSED", [])


async def test_srv_answers_bring_the_addresses_of_both_families(resolver: Resolver) -> None:
    """2.3.2 and 2.4.2: the additional section."""
    for name, expected in (
        (f"_https._tcp.dual.{NS}", {"10.0.0.7", "fd00::7"}),
        (f"_sql._tcp.db.{NS}", {"10.1.0.1", "10.1.0.2", "fd00::1"}),
    ):
        assert {str(record.rdata) for record in (await ask(resolver, name, "SRV")).ar} == expected
