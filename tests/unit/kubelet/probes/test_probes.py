"""How probes count, and what they ask over real sockets."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from apimachinery.types import core_v1
from kubelet.probes import Checks, Outcome
from kubelet.probes.checks import InvalidAction, Target, port_of
from kubelet.probes.counter import Counter
from kubelet.runtime import Engine
from tests.unit.kubelet.records import record

SPEC = core_v1.Container(name="main", ports=[core_v1.ContainerPort(name="web", container_port=8080)])


def test_thresholds() -> None:
    counter = Counter(core_v1.Probe(failure_threshold=3, success_threshold=2), passing=True, eager=False)
    assert [counter.count(False) for _ in range(3)] == [False, False, True]
    assert not counter.passing
    assert [counter.count(True), counter.count(False), counter.count(True), counter.count(True)] == [
        False,
        False,
        False,
        True,
    ]
    assert counter.passing


def test_a_container_that_comes_up_is_asked_often_and_failures_do_not_count_yet() -> None:
    counter = Counter(core_v1.Probe(period_seconds=1, failure_threshold=1), passing=False, eager=True)
    pauses = []
    while counter.is_warming_up:
        assert not counter.count(False)
        pauses.append(counter.next_pause())
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert sum(pauses) < 2
    assert counter.count(False)
    assert counter.next_pause() == 1.0


def test_the_first_good_answer_ends_the_haste() -> None:
    counter = Counter(core_v1.Probe(period_seconds=5), passing=False, eager=True)
    assert counter.count(True)
    assert counter.next_pause() == 5.0


def test_ports_by_number_and_name() -> None:
    assert port_of(80, SPEC) == port_of("80", SPEC) == 80
    assert port_of("web", SPEC) == 8080
    for wrong in ("nope", 0, None):
        with pytest.raises(InvalidAction):
            port_of(wrong, SPEC)


@asynccontextmanager
async def serving(answer: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """A port that answers what it was sent first."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await reader.read(65536)))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def checks() -> AsyncIterator[Checks]:
    async with Checks(Engine("unix:///nowhere")) as made:
        yield made


TARGET = Target(record(), SPEC, "127.0.0.1")


@pytest.mark.parametrize(("status", "ok"), [(200, True), (299, True), (404, False), (500, False)])
async def test_http(checks: Checks, status: int, ok: bool) -> None:
    requests: list[bytes] = []

    def answer(request: bytes) -> bytes:
        requests.append(request)
        return f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\nLocation: /a\r\n\r\nhi".encode()

    async with serving(answer) as port:
        header = core_v1.HTTPHeader(name="X-Asked", value="yes")
        action = core_v1.HTTPGetAction(path="healthz", port=port, http_headers=[header])
        outcome = await checks.probe(core_v1.Probe(http_get=action), TARGET)
    assert outcome.ok == ok
    assert outcome.message == ("hi" if ok else f"HTTP probe failed with statuscode: {status}")
    assert requests[0].startswith(b"GET /healthz HTTP/1.1\r\n")
    assert b"User-Agent: kube-probe/" in requests[0]
    assert b"X-Asked: yes" in requests[0]


async def ask(checks: Checks, answers: list[str], **action: object) -> tuple[Outcome, list[bytes]]:
    """The outcome of an HTTP probe to which these are the answers, one connection each, and the requests."""
    requests: list[bytes] = []

    def answer(request: bytes) -> bytes:
        requests.append(request)
        status, _, location = answers[min(len(requests), len(answers)) - 1].partition(" ")
        more = f"Location: {location.replace('PORT', str(where))}\r\n" if location else ""
        return f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n{more}\r\nhi".encode()

    async with serving(answer) as where:
        probe = core_v1.Probe(http_get=core_v1.HTTPGetAction(port=where, **action))  # type: ignore[arg-type]
        return await checks.probe(probe, TARGET), requests


@pytest.mark.parametrize(
    ("answers", "outcome", "asked"),
    [
        (["302 /b", "200"], Outcome(True, "hi"), ["/a", "/b"]),
        (["302 /b", "503"], Outcome(False, "HTTP probe failed with statuscode: 503"), ["/a", "/b"]),
        (["307 c", "308 http://127.0.0.1:PORT/d?e", "200"], Outcome(True, "hi"), ["/a", "/c", "/d?e"]),
        (["302 http://127.0.0.2:PORT/x"], Outcome(True, "Probe terminated redirects, Response body: hi", True), ["/a"]),
        (["300"], Outcome(True, "Probe terminated redirects, Response body: hi", True), ["/a"]),
        (["302"], Outcome(True, "Probe terminated redirects, Response body: hi", True), ["/a"]),
    ],
)
async def test_redirects_are_followed_on_the_same_host(
    checks: Checks, answers: list[str], outcome: Outcome, asked: list[str]
) -> None:
    result, requests = await ask(checks, answers, path="/a")
    assert result == outcome
    assert [request.split()[1].decode() for request in requests] == asked


async def test_redirects_in_a_circle_are_a_failure(checks: Checks) -> None:
    outcome, requests = await ask(checks, ["302 /a"], path="/a")
    assert not outcome.ok
    assert outcome.message.endswith('/a": stopped after 10 redirects')
    assert len(requests) == 10


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a%2Fb/%41?x=%20&y=[1]", "/a%2Fb/%41?x=%20&y=[1]"),
        ("/a/../b//c", "/a/../b//c"),
        ("a b", "/a%20b"),
        ("/ü#part", "/%C3%BC"),
        ("//x", "//x"),
    ],
)
async def test_a_path_goes_out_as_it_is_written(checks: Checks, path: str, sent: str) -> None:
    _, requests = await ask(checks, ["200"], path=path)
    assert requests[0].split(b"\r\n")[0].decode() == f"GET {sent} HTTP/1.1"


async def test_headers_go_out_as_they_are_given(checks: Checks) -> None:
    headers = [
        core_v1.HTTPHeader(name=name, value=value) for name, value in (("X-A", "1"), ("x-a", "2"), ("Accept", ""))
    ]
    _, requests = await ask(checks, ["200"], http_headers=headers)
    lines = requests[0].lower().split(b"\r\n")
    assert [line for line in lines if line.startswith(b"x-a")] == [b"x-a: 1", b"x-a: 2"]
    assert not [line for line in lines if line.startswith(b"accept")]
    _, requests = await ask(checks, ["200"])
    assert b"\r\naccept: */*\r\n" in requests[0].lower()


async def test_nobody_there(checks: Checks) -> None:
    async with serving(lambda _: b"") as port:
        pass
    tcp = core_v1.Probe(tcp_socket=core_v1.TCPSocketAction(port=port))
    assert (await checks.probe(tcp, TARGET)).message == f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    http = core_v1.Probe(http_get=core_v1.HTTPGetAction(port=port))
    expected = f'Get "http://127.0.0.1:{port}/": connect: connection refused'
    assert (await checks.probe(http, TARGET)).message == expected


async def test_a_tcp_probe_wants_a_connection_and_no_more(checks: Checks) -> None:
    async with serving(lambda _: b"") as port:
        probe = core_v1.Probe(tcp_socket=core_v1.TCPSocketAction(port=port))
        assert (await checks.probe(probe, TARGET)).ok


def frame(kind: int, flags: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags, 0, 0, 0, 1]) + payload


@pytest.mark.parametrize(("serving_status", "ok"), [(1, True), (2, False)])
async def test_grpc(checks: Checks, serving_status: int, ok: bool) -> None:
    message = b"\x00\x00\x00\x00\x02\x08" + bytes([serving_status])
    reply = frame(4, 0, b"") + frame(1, 4, b"\x88") + frame(0, 0, message) + frame(1, 5, b"\x00")
    async with serving(lambda _: reply) as port:
        probe = core_v1.Probe(grpc=core_v1.GRPCAction(port=port))
        assert (await checks.probe(probe, TARGET)).ok == ok


async def test_a_grpc_answer_without_end_is_cut_off(checks: Checks) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with suppress(ConnectionError):
            while sent < 64 * 1024**2:
                writer.write(frame(0, 0, bytes(16384)))
                await writer.drain()
                sent += 16384
        writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        probe = core_v1.Probe(grpc=core_v1.GRPCAction(port=port), timeout_seconds=30)
        outcome = await checks.probe(probe, TARGET)
    assert outcome.message.endswith("the answer is longer than 65536 bytes")
    assert sent < 16 * 1024**2


async def test_an_http_answer_is_not_unpacked(checks: Checks) -> None:
    packed = gzip.compress(bytes(32 * 1024**2))

    def answer(request: bytes) -> bytes:
        assert b"accept-encoding" not in request.lower()
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        return head.encode() + packed

    async with serving(answer) as port:
        outcome = await checks.probe(core_v1.Probe(http_get=core_v1.HTTPGetAction(port=port)), TARGET)
    assert outcome.ok
    assert len(outcome.message) <= 10 * 1024
