"""Names of others over real loopback sockets: our servers in front, name servers that tests command behind."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import dnslib
import pytest

from apimachinery.meta import Key
from kube_dns.encoding import Encoder
from kube_dns.forwarder import DEADLINE, Forwarder
from kube_dns.records import CNAME, A, Record
from kube_dns.resolver import Resolver
from kube_dns.tcp import TcpServer
from kube_dns.udp import UdpServer
from kube_dns.upstreams import Server, Upstreams
from kube_dns.zone import Zone
from tests.integration.kube_dns.client import DnsClient, read_message, request
from tests.integration.kube_dns.upstream import Upstream
from tests.processes import free_port
from tests.support import eventually

WWW = "www.example.com."
MOST_WAITING = "kube_dns.udp._MOST_WAITING"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        upstream.records[WWW, "A"] = "www.example.com. 60 A 192.0.2.1"
        yield upstream


@pytest.fixture
async def spare() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        upstream.records[WWW, "A"] = "www.example.com. 60 A 192.0.2.2"
        yield upstream


@asynccontextmanager
async def serve(upstreams: Upstreams, host: str = "127.0.0.1", idle: float = 10.0) -> AsyncIterator[DnsClient]:
    zone = Zone("cluster.local")
    zone.replace(Key("prod", "web"), {"web.prod.svc.cluster.local": (Record(A, "10.0.0.7"),)})
    zone.replace(Key("prod", "out"), {"out.prod.svc.cluster.local": (Record(CNAME, "www.example.com"),)})
    async with asyncio.TaskGroup() as tasks:
        forwarder = Forwarder(upstreams, tasks, cache_size=100)
        resolver = Resolver(zone, Encoder(zone.domain, 5, serial=1), forwarder, synced=lambda: True)
        port = free_port()
        async with UdpServer(host, port, resolver) as udp, TcpServer(host, port, resolver, idle):
            yield DnsClient(udp.port)


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[DnsClient]:
    async with serve(Upstreams([upstream.server])) as client:
        yield client


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_name_of_others_is_answered_by_those_who_know(client: DnsClient, tcp: bool) -> None:
    answer = await client.ask("WWW.example.com", tcp=tcp, edns=4096)

    header = answer.header
    assert (header.rcode, header.aa, header.ra, header.rd) == (0, 0, 1, 1)
    assert [(str(record.rname), str(record.rdata)) for record in answer.rr] == [("www.example.com.", "192.0.2.1")]
    assert str(answer.q.qname) == "WWW.example.com."
    assert [record.edns_len for record in answer.ar] == [1232]


async def test_an_answer_is_asked_for_once_and_its_ttl_never_grows(client: DnsClient, upstream: Upstream) -> None:
    for name in ("www.example.com", "WWW.EXAMPLE.com", "www.example.com"):
        answer = await client.ask(name)
        assert str(answer.q.qname) == f"{name}."
        assert answer.a.ttl <= 60

    assert len(upstream.asked) == 1


async def test_a_name_error_is_kept_as_well(client: DnsClient, upstream: Upstream) -> None:
    for _ in range(3):
        answer = await client.ask("none.example.com")
        assert (answer.header.rcode, len(answer.auth)) == (3, 1)

    assert len(upstream.asked) == 1


async def test_many_who_ask_the_same_at_once_make_one_question(client: DnsClient, upstream: Upstream) -> None:
    answers = await asyncio.gather(*(client.addresses("www.example.com") for _ in range(20)))

    assert answers == [["192.0.2.1"]] * 20
    assert len(upstream.asked) == 1


async def test_a_long_answer_is_fetched_over_tcp_and_cut_for_who_asks_over_udp(
    client: DnsClient, upstream: Upstream
) -> None:
    lines = [f"big.example.com. 60 A 192.0.{n // 200}.{n % 200}" for n in range(300)]
    upstream.records["big.example.com.", "A"] = "\n".join(lines)

    cut = await client.ask("big.example.com")
    whole = await client.ask("big.example.com", tcp=True)

    assert (cut.header.tc, 0 < len(cut.rr) < 300) == (1, True)
    assert (whole.header.tc, len(whole.rr)) == (0, 300)
    assert [proto for *_, proto in upstream.asked] == ["udp", "tcp"]


async def test_an_external_name_is_followed_to_its_addresses(client: DnsClient) -> None:
    for name in ("out.prod.svc.cluster.local", "out.prod"):
        answer = await client.ask(name)
        chain = [(str(record.rname), record.rtype, str(record.rdata)) for record in answer.rr]
        assert chain == [
            (f"{name}.", dnslib.QTYPE.CNAME, WWW),
            (WWW, dnslib.QTYPE.A, "192.0.2.1"),
        ]


async def test_an_external_name_without_such_data_says_so(client: DnsClient, upstream: Upstream) -> None:
    upstream.records.clear()
    answer = await client.ask("out.prod")

    assert answer.header.rcode == 3
    assert [record.rtype for record in answer.rr] == [dnslib.QTYPE.CNAME]
    assert [record.rtype for record in answer.auth] == [dnslib.QTYPE.SOA]


async def test_stub_domains_have_servers_of_their_own(upstream: Upstream, spare: Upstream) -> None:
    upstreams = Upstreams([upstream.server], stub_domains=dict.fromkeys(("corp", "prod", "local"), (spare.server,)))
    spare.records["a.corp.", "A"] = "a.corp. 60 A 192.0.2.9"
    async with serve(upstreams) as client:
        assert await client.addresses("a.corp") == ["192.0.2.9"]
        assert await client.addresses("www.example.com") == ["192.0.2.1"]
        assert await client.rcode("web.prod") == "NXDOMAIN"
        assert await client.addresses("web.prod.svc.cluster.local") == ["10.0.0.7"]
    assert [name for name, *_ in spare.asked] == ["a.corp.", "web.prod."]


async def test_a_silent_server_is_passed_over_and_asked_last_from_then_on(upstream: Upstream, spare: Upstream) -> None:
    upstream.silent = True
    spare.records["b.example.com.", "A"] = "b.example.com. 60 A 192.0.2.3"
    async with serve(Upstreams([upstream.server, spare.server])) as client:
        assert await client.addresses("www.example.com") == ["192.0.2.2"]
        asked = len(upstream.asked)
        started = time.monotonic()
        assert await client.addresses("b.example.com") == ["192.0.2.3"]

    assert time.monotonic() - started < 1
    assert len(upstream.asked) == asked


async def test_a_server_that_fails_or_refuses_is_passed_over(upstream: Upstream, spare: Upstream) -> None:
    for upstream.rcode in (2, 5):
        async with serve(Upstreams([upstream.server, spare.server])) as client:
            assert await client.addresses("www.example.com") == ["192.0.2.2"]


async def test_when_all_servers_are_dead_the_failure_is_in_time_and_soon_immediate(upstream: Upstream) -> None:
    upstream.silent = True
    async with serve(Upstreams([upstream.server])) as client:
        for limit in (DEADLINE + 0.5, 0.2):
            started = time.monotonic()
            assert await client.rcode("www.example.com") == "SERVFAIL"
            assert time.monotonic() - started < limit
        started = time.monotonic()
        assert await client.rcode("other.example.com") == "SERVFAIL"
        assert time.monotonic() - started < 1.5
        assert await client.addresses("web.prod") == ["10.0.0.7"]


async def test_a_server_that_is_back_is_believed_at_once(upstream: Upstream) -> None:
    upstream.silent = True
    async with serve(Upstreams([upstream.server])) as client:
        assert await client.rcode("other.example.com") == "SERVFAIL"
        upstream.silent = False
        assert await client.addresses("www.example.com") == ["192.0.2.1"]


async def test_a_server_that_is_not_there_fails_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with serve(Upstreams([Server("127.0.0.1", port)])) as client:
        started = time.monotonic()
        assert await client.rcode("www.example.com") == "SERVFAIL"
        assert time.monotonic() - started < 1


async def test_without_servers_names_of_others_are_refused_at_once() -> None:
    async with serve(Upstreams()) as client:
        started = time.monotonic()
        assert await client.rcode("www.example.com") == "REFUSED"
        answer = await client.ask("out.prod")
        assert (answer.header.rcode, [record.rtype for record in answer.rr]) == (0, [dnslib.QTYPE.CNAME])
        assert time.monotonic() - started < 1


async def test_only_the_answer_to_our_question_counts(client: DnsClient, upstream: Upstream) -> None:
    def forged_first(answer: bytes) -> list[bytes]:
        lie = answer.replace(bytes([192, 0, 2, 1]), bytes([6, 6, 6, 6]))
        wrong_id = bytes([lie[0] ^ 1]) + lie[1:]
        return [wrong_id, lie.replace(b"\3www", b"\3wwx"), lie[:2] + b"\0" + lie[3:], b"", lie[:9], answer]

    upstream.mangle = forged_first

    assert await client.addresses("www.example.com") == ["192.0.2.1"]


async def test_an_answer_that_is_cut_off_is_a_failure(client: DnsClient, upstream: Upstream) -> None:
    upstream.mangle = lambda answer: [answer[:45]]

    assert await client.rcode("www.example.com") == "SERVFAIL"
    assert await client.rcode("out.prod") == "SERVFAIL"


async def test_rubbish_over_both_transports_leaves_the_server_answering(client: DnsClient) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for size in (0, 1, 11, 12, 13, 100, 5000, 60000):
            sock.sendto(b"\x00" * size, client.address)
            sock.sendto(b"\xff" * size, client.address)
    for data in (b"", b"\0", b"\0\0", b"\0\x05hello", b"\xff\xff" + b"x" * 70000):
        with socket.create_connection(client.address) as sock:
            sock.sendall(data)

    for tcp in (False, True):
        assert await client.addresses("web.prod", tcp=tcp) == ["10.0.0.7"]


async def test_a_tcp_connection_takes_several_questions_and_ends_when_idle(upstream: Upstream) -> None:
    async with serve(Upstreams([upstream.server]), idle=0.3) as client:

        def talk() -> list[str]:
            with socket.create_connection(client.address, timeout=5) as sock:
                asked = [bytes(request(name).pack()) for name in ("web.prod", "www.example.com", "web.prod")]
                sock.sendall(b"".join(struct.pack("!H", len(message)) + message for message in asked))
                answers = [str(dnslib.DNSRecord.parse(read_message(sock)).a.rdata) for _ in asked]
                with suppress(ConnectionResetError):
                    assert sock.recv(1) == b""
                return sorted(answers)

        assert await asyncio.to_thread(talk) == ["10.0.0.7", "10.0.0.7", "192.0.2.1"]


async def test_a_question_that_waits_keeps_none_behind_it_on_its_connection(upstream: Upstream) -> None:
    upstream.silent = True
    async with serve(Upstreams([upstream.server])) as client:

        def talk() -> list[str]:
            with socket.create_connection(client.address, timeout=DEADLINE + 2) as sock:
                asked = [bytes(request(name).pack()) for name in ("www.example.com", "web.prod")]
                sock.sendall(b"".join(struct.pack("!H", len(message)) + message for message in asked))
                sock.shutdown(socket.SHUT_WR)
                answers = [dnslib.DNSRecord.parse(read_message(sock)) for _ in asked]
                assert sock.recv(1) == b""
                return [f"{message.q.qname} {dnslib.RCODE[message.header.rcode]}" for message in answers]

        assert await asyncio.to_thread(talk) == ["web.prod. NOERROR", "www.example.com. SERVFAIL"]


async def test_connections_beyond_the_limit_are_refused_and_hurt_nobody(
    client: DnsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kube_dns.tcp.MAX_CONNECTIONS", 3)
    held = [await asyncio.open_connection(*client.address) for _ in range(3)]
    await eventually(lambda: _is_refused(client))

    assert await client.addresses("web.prod") == ["10.0.0.7"]
    for _, writer in held:
        writer.close()
    await eventually(lambda: _is_answered(client))


async def _is_answered(client: DnsClient) -> bool:
    return not await _is_refused(client)


async def _is_refused(client: DnsClient) -> bool:
    try:
        await client.ask("web.prod", tcp=True)
    except (EOFError, ConnectionError):
        return True
    return False


@pytest.mark.parametrize(("limit", "refused"), [("kube_dns.forwarder.MAX_CONCURRENT", True), (MOST_WAITING, False)])
async def test_a_flood_of_questions_for_others_is_bounded_and_hurts_nobody(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, limit: str, refused: bool
) -> None:
    """Beyond the one limit a question fails at once, beyond the other it is not answered at all."""
    monkeypatch.setattr(limit, 5)
    upstream.silent = True
    async with serve(Upstreams([upstream.server])) as client:
        hasty = DnsClient(client.address[1], timeout=1)
        results = await asyncio.gather(*(hasty.ask(f"n{n}.example.com") for n in range(20)), return_exceptions=True)

        at_once = [message for message in results if isinstance(message, dnslib.DNSRecord)]
        assert [dnslib.RCODE[message.header.rcode] for message in at_once] == (["SERVFAIL"] * 15 if refused else [])
        assert len({name for name, *_ in upstream.asked}) == 5
        assert await client.addresses("web.prod") == ["10.0.0.7"]
        upstream.silent = False
        await eventually(lambda: _has_address(client, "www.example.com"))


async def _has_address(client: DnsClient, name: str) -> bool:
    return bool(await client.addresses(name))


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.5"])
async def test_answers_come_from_the_address_that_was_asked(host: str) -> None:
    async with serve(Upstreams(), host=host) as client:
        other = DnsClient(client.address[1], host="127.0.0.5", timeout=2)
        for _ in range(3):  # the first is made, the others are ready
            assert await other.addresses("web.prod") == ["10.0.0.7"]


async def test_no_question_is_lost_in_a_burst(client: DnsClient) -> None:
    data = bytes(request("web.prod.svc.cluster.local").pack())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for n in range(300):
            sock.sendto(struct.pack("!H", n) + data[2:], client.address)
        got: set[bytes] = set()

        def all_there() -> bool:
            while True:
                try:
                    got.add(sock.recv(512)[:2])
                except BlockingIOError:
                    return len(got) == 300

        await eventually(all_there)
