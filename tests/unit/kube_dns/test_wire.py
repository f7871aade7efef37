"""Requests and answers as bytes, read and written by dnslib on the client's side."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator

import dnslib
import pytest

from apimachinery.meta import Key
from kube_dns import encoding, message
from kube_dns.encoding import Encoder
from kube_dns.forwarder import Forwarder
from kube_dns.message import HEADER
from kube_dns.records import A, Endpoint, Record
from kube_dns.resolver import Resolver, Waiting
from kube_dns.upstreams import Upstreams
from kube_dns.zone import Zone
from tests.unit.kube_dns.services import group, service, zone_of

WEB = "web.prod.svc.cluster.local"
MANY = [Endpoint(f"10.1.{n // 250}.{n % 250 + 1}", f"db-{n}") for n in range(300)]


@pytest.fixture
def zone() -> Zone:
    return zone_of(
        (service(ports=(("http", 80),)), []),
        (service("db", cluster_ip="None"), [group(*MANY, ports=(("sql", 5432),))]),
        (service("few", cluster_ip="None"), [group(*MANY[:4])]),
    )


@pytest.fixture
async def resolver(zone: Zone) -> AsyncIterator[Resolver]:
    async with asyncio.TaskGroup() as tasks:
        forwarder = Forwarder(Upstreams(), tasks, cache_size=10)
        yield Resolver(zone, Encoder(zone.domain, 5, serial=1), forwarder, synced=lambda: True)


def request(name: str, type: str = "A", edns: int | None = None, **edns_options: object) -> bytes:
    question = dnslib.DNSRecord.question(name, type)
    if edns is not None:
        question.add_ar(dnslib.EDNS0(udp_len=edns, **edns_options))
    return bytes(question.pack())


def ask(resolver: Resolver, data: bytes, stream: bool = False) -> dnslib.DNSRecord:
    answer = resolver.respond(data, stream)
    assert isinstance(answer, bytes)
    assert answer[:2] == data[:2]
    return dnslib.DNSRecord.parse(answer)


def addresses(answer: dnslib.DNSRecord) -> list[str]:
    return [str(record.rdata) for record in answer.rr]


def test_an_answer_carries_the_question_the_flags_and_the_ttl(resolver: Resolver) -> None:
    answer = ask(resolver, request(WEB))

    header = answer.header
    assert (header.qr, header.aa, header.rd, header.ra, header.tc, header.rcode) == (1, 1, 1, 1, 0, 0)
    assert str(answer.q.qname) == f"{WEB}."
    assert [(str(record.rname), record.ttl, str(record.rdata)) for record in answer.rr] == [(f"{WEB}.", 5, "10.0.0.7")]


def test_the_answer_keeps_the_spelling_of_the_question(resolver: Resolver) -> None:
    answer = ask(resolver, request("WeB.pRod.svc.CLUSTER.local"))

    assert str(answer.q.qname) == "WeB.pRod.svc.CLUSTER.local."
    assert str(answer.a.rname) == "WeB.pRod.svc.CLUSTER.local."
    assert addresses(answer) == ["10.0.0.7"]


@pytest.mark.parametrize(("name", "rcode"), [(WEB, 0), (f"none.{WEB}", 3)])
def test_negative_answers_carry_the_soa_with_the_time_to_keep_them(resolver: Resolver, name: str, rcode: int) -> None:
    answer = ask(resolver, request(name, "AAAA"))

    assert (answer.header.rcode, answer.header.aa, answer.rr) == (rcode, 1, [])
    (soa,) = answer.auth
    assert (str(soa.rname), soa.rtype, soa.ttl) == ("cluster.local.", dnslib.QTYPE.SOA, 5)
    assert soa.rdata.times[4] == 5


def test_srv_records_name_port_and_target_and_add_the_address(resolver: Resolver) -> None:
    answer = ask(resolver, request(f"_http._tcp.{WEB}", "SRV"))

    assert [(record.rdata.port, str(record.rdata.target)) for record in answer.rr] == [(80, f"{WEB}.")]
    assert [(str(record.rname), str(record.rdata)) for record in answer.ar] == [(f"{WEB}.", "10.0.0.7")]


@pytest.mark.parametrize(
    ("name", "type", "data"),
    [
        ("7.0.0.10.in-addr.arpa", "PTR", f"{WEB}."),
        ("dns-version.cluster.local", "TXT", '"1.1.0"'),
        ("cluster.local", "NS", "ns.dns.cluster.local."),
        ("cluster.local", "SOA", "ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"),
    ],
)
def test_records_of_other_types_are_encoded(resolver: Resolver, name: str, type: str, data: str) -> None:
    assert [str(record.rdata) for record in ask(resolver, request(name, type)).rr] == [data]


@pytest.mark.parametrize(("edns", "limit"), [(None, 512), (100, 512), (1000, 1000), (65000, 1232)])
def test_an_answer_too_long_for_the_client_is_cut_and_says_so(resolver: Resolver, edns: int | None, limit: int) -> None:
    data = request("db.prod.svc.cluster.local", edns=edns)
    raw = resolver.respond(data, stream=False)
    assert isinstance(raw, bytes)
    answer = dnslib.DNSRecord.parse(raw)

    assert answer.header.tc == 1
    assert limit - 16 < len(raw) <= limit
    assert set(addresses(answer)) < {endpoint.ip for endpoint in MANY}
    assert len(answer.ar) == (edns is not None)


def test_over_tcp_nothing_is_cut(resolver: Resolver) -> None:
    answer = ask(resolver, request("db.prod.svc.cluster.local"), stream=True)

    assert answer.header.tc == 0
    assert sorted(addresses(answer)) == sorted(endpoint.ip for endpoint in MANY)


def test_hundreds_of_srv_records_are_whole_over_tcp(resolver: Resolver) -> None:
    for name in ("_sql._tcp.db.prod.svc.cluster.local", "_sql._tcp.db.prod"):
        answer = ask(resolver, request(name, "SRV"), stream=True)
        targets = {str(record.rdata.target) for record in answer.rr}
        assert targets == {f"{endpoint.hostname}.db.prod.svc.cluster.local." for endpoint in MANY}


def test_additional_records_are_left_out_before_anything_is_called_cut(zone: Zone) -> None:
    answer = dnslib.DNSRecord.question("a.b").reply()
    answer.add_answer(*dnslib.RR.fromZone("a.b 5 A 1.1.1.1"))
    answer.add_ar(*[dnslib.RR("a.b", ttl=5, rdata=dnslib.A(f"1.1.1.{n}")) for n in range(2, 100)])

    cut = dnslib.DNSRecord.parse(message.fit(bytes(answer.pack()), 512))

    assert cut.header.tc == 0
    assert len(cut.rr) == 1
    assert 0 < len(cut.ar) < 98


def test_edns_is_answered_with_edns(resolver: Resolver) -> None:
    (opt,) = ask(resolver, request(WEB, edns=4096, flags="do")).ar

    assert (opt.rtype, opt.edns_len, opt.edns_ver, opt.edns_do) == (dnslib.QTYPE.OPT, 1232, 0, 1)
    assert ask(resolver, request(WEB)).ar == []


def test_edns_of_a_later_version_is_refused_as_such(resolver: Resolver) -> None:
    answer = ask(resolver, request(WEB, edns=4096, version=1))

    assert answer.header.rcode | answer.ar[0].edns_rcode << 4 == 16
    assert str(answer.q.qname) == f"{WEB}.", "clients take an answer without their question for another's"


def with_class(klass: int) -> bytes:
    return request(WEB)[:-2] + struct.pack("!H", klass)


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        pytest.param(HEADER.pack(7, 0x0100, 0, 0, 0, 0), 1, id="no question"),
        pytest.param(HEADER.pack(7, 0x0100, 2, 0, 0, 0) + request(WEB)[12:] * 2, 1, id="two questions"),
        pytest.param(HEADER.pack(7, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", 1, id="pointer to itself"),
        pytest.param(HEADER.pack(7, 0x0100, 1, 0, 0, 0) + b"\x3fshort", 1, id="label cut off"),
        pytest.param(HEADER.pack(7, 0x0100, 1, 0, 0, 0) + b"\x01a" * 128 + b"\0\0\1\0\1", 1, id="name too long"),
        pytest.param(HEADER.pack(7, 0x0100, 1, 0, 0, 0) + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", 1, id="label too long"),
        pytest.param(request(WEB)[:-1], 1, id="question cut off"),
        pytest.param(HEADER.pack(7, 0x0100, 1, 0, 0, 1) + request(WEB)[12:], 1, id="additional record missing"),
        pytest.param(HEADER.pack(7, 0x2000, 1, 0, 0, 0) + request(WEB)[12:], 4, id="notify"),
        pytest.param(with_class(3), 5, id="chaos"),
        pytest.param(request(WEB, "AXFR"), 5, id="zone transfer"),
    ],
)
def test_a_request_that_cannot_be_answered_gets_a_code(resolver: Resolver, data: bytes, rcode: int) -> None:
    assert ask(resolver, data).header.rcode == rcode


@pytest.mark.parametrize("data", [with_class(3), request(WEB, "AXFR")])
def test_a_refusal_repeats_the_question(resolver: Resolver, data: bytes) -> None:
    answer = resolver.respond(data, stream=True)

    assert isinstance(answer, bytes)
    assert answer[HEADER.size :] == data[HEADER.size :]


@pytest.mark.parametrize("data", [b"", b"x", b"\0" * 11, HEADER.pack(7, 0x8000, 1, 0, 0, 0) + request(WEB)[12:]])
def test_fragments_and_answers_get_no_answer(resolver: Resolver, data: bytes) -> None:
    assert resolver.respond(data, stream=False) is None


def test_rubbish_never_raises_and_never_keeps_others_from_being_answered(
    resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    dice = random.Random(1)
    valid = [request(WEB), request("db.prod", "SRV", edns=512), request("7.0.0.10.in-addr.arpa", "PTR")]
    for _ in range(5000):
        data = bytearray(dice.choice(valid))
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        answer = resolver.respond(bytes(data[: dice.randrange(1, len(data) + 1)]), stream=False)
        assert answer is None or isinstance(answer, bytes | Waiting)

    assert not caplog.records, "met something that it did not foresee"
    assert addresses(ask(resolver, request(WEB))) == ["10.0.0.7"]


def test_a_label_with_a_dot_in_it_is_not_two_labels(resolver: Resolver) -> None:
    data = HEADER.pack(7, 0x0100, 1, 0, 0, 0) + b"\x08web.prod\x03svc\x07cluster\x05local\0\0\1\0\1"

    assert ask(resolver, data).header.rcode == 3


def test_the_second_answer_is_ready_until_the_zone_changes(resolver: Resolver, zone: Zone) -> None:
    data = request(WEB)
    first = resolver.respond(data, stream=False)
    again = b"zz" + data[2:]

    assert isinstance(first, bytes)
    assert resolver.prepared()[again[2:]].body() == first[2:]

    zone.replace(Key("prod", "web"), {WEB: (Record(A, "10.0.0.8"),)})
    assert resolver.prepared() == {}
    assert addresses(ask(resolver, data)) == ["10.0.0.8"]


def test_ready_answers_put_another_address_first_each_time(resolver: Resolver) -> None:
    data = request("few.prod.svc.cluster.local")
    resolver.respond(data, stream=False)
    ready = resolver.prepared()[data[2:]]

    answers = [addresses(dnslib.DNSRecord.parse(data[:2] + ready.body())) for _ in range(4)]

    assert {order[0] for order in answers} == {order.ip for order in MANY[:4]}
    assert all(sorted(order) == sorted(answers[0]) for order in answers)


@pytest.mark.parametrize(("bound", "value"), [("_PREPARED", 10), ("_MEMORY", 2000)])
def test_ready_answers_are_bounded(resolver: Resolver, monkeypatch: pytest.MonkeyPatch, bound: str, value: int) -> None:
    monkeypatch.setattr(f"kube_dns.resolver.{bound}", value)
    for n in range(100):
        resolver.respond(request(f"n{n}.{WEB}"), stream=False)

    assert 0 < len(resolver.prepared()) <= 10


def test_a_request_with_a_cookie_is_answered_but_not_kept(resolver: Resolver) -> None:
    data = request(WEB, edns=1232, opts=[dnslib.EDNSOption(10, b"12345678")])

    assert addresses(ask(resolver, data)) == ["10.0.0.7"]
    assert resolver.prepared() == {}


async def test_a_name_of_others_is_refused_without_servers(resolver: Resolver) -> None:
    waiting = resolver.respond(request("www.example.com"), stream=False)

    assert isinstance(waiting, Waiting)
    assert dnslib.DNSRecord.parse(await resolver.resolve(waiting)).header.rcode == 5


def test_a_name_as_on_the_wire() -> None:
    assert encoding.wire_question("a.bc", 1) == b"\1a\2bc\0\0\1\0\1"
    assert encoding.wire_question("", 2) == b"\0\0\2\0\1"
    for name in ("a..b", "x" * 64, ".".join(["abc"] * 70)):
        with pytest.raises(ValueError, match="DNS name"):
            encoding.wire_question(name, 1)


async def test_before_the_services_are_known_no_name_is_denied(zone: Zone) -> None:
    synced = False
    async with asyncio.TaskGroup() as tasks:
        forwarder = Forwarder(Upstreams(), tasks, cache_size=10)
        resolver = Resolver(zone, Encoder(zone.domain, 5, serial=1), forwarder, synced=lambda: synced)

        assert ask(resolver, request("late.prod.svc.cluster.local")).header.rcode == 2
        assert addresses(ask(resolver, request(WEB))) == ["10.0.0.7"]
        synced = True
        assert ask(resolver, request("late.prod.svc.cluster.local")).header.rcode == 3
