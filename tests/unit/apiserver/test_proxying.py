"""Decisions of the proxy that need no connection: whom a path means, what may be reached, where links lead."""

import socket
import ssl

import pytest

from apimachinery import errors
from apimachinery.types import core_v1
from apiserver.handlers.proxying.links import HtmlLinks, Links
from apiserver.handlers.proxying.targets import (
    Target,
    checked,
    may_be_reached,
    parse_target,
    pod_address,
    ready_addresses,
    service_port_name,
)
from apiserver.handlers.proxying.upstream import Answer, why

PREFIX = "/api/v1/namespaces/n/services/web/proxy"
LINKS = Links(PREFIX, ("10.1.2.3:80", "10.1.2.3", "api.example:6443"))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("web", Target("", "web", "")),
        ("web:80", Target("", "web", "80")),
        ("web:admin", Target("", "web", "admin")),
        ("https:web:", Target("https", "web", "")),
        ("http:web:80", Target("http", "web", "80")),
    ],
)
def test_whom_a_path_means(text: str, target: Target) -> None:
    assert parse_target(text, "service") == target


@pytest.mark.parametrize("text", ["ftp:web:21", "https::80", ":80", "a:b:c:d"])
def test_what_means_nobody(text: str) -> None:
    with pytest.raises(errors.BadRequest, match="invalid service request"):
        parse_target(text, "service")


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.0.0.7", True), ("100.64.0.10", True), ("2001:db8::1", True), ("fd00::1", True),
        ("127.0.0.1", False), ("127.8.8.8", False), ("::1", False), ("0.0.0.0", False), ("::", False),
        ("169.254.169.254", False), ("fe80::1", False), ("224.0.0.1", False), ("ff02::1", False),
        ("255.255.255.255", False), ("::ffff:127.0.0.1", False), ("::ffff:169.254.1.1", False), ("name", False),
    ],
)  # fmt: skip
def test_which_addresses_may_be_reached(address: str, allowed: bool) -> None:
    assert may_be_reached(address) is allowed


async def test_a_name_is_judged_by_its_addresses() -> None:
    with pytest.raises(errors.BadRequest, match="address not allowed"):
        await checked("localhost")
    assert await checked("10.0.0.7") == "10.0.0.7"


def test_a_pods_port_is_the_one_named_or_its_first() -> None:
    ports = [core_v1.ContainerPort(container_port=7000), core_v1.ContainerPort(container_port=7001)]
    spec = core_v1.PodSpec(containers=[core_v1.Container(name="a"), core_v1.Container(name="b", ports=ports)])
    pod = core_v1.Pod(spec=spec, status=core_v1.PodStatus(pod_ip="10.1.2.3"))
    assert pod_address(pod, Target("", "web", "")) == ("10.1.2.3", 7000)
    assert pod_address(pod, Target("", "web", "9")) == ("10.1.2.3", 9)
    with pytest.raises(errors.BadRequest):
        pod_address(pod, Target("", "web", "http"))
    with pytest.raises(errors.BadRequest, match="no address"):
        pod_address(core_v1.Pod(spec=spec), Target("", "web", ""))


def test_a_services_endpoints_are_the_ready_ones_of_the_port() -> None:
    service = core_v1.Service(spec=core_v1.ServiceSpec(ports=[core_v1.ServicePort(name="web", port=80)]))
    assert service_port_name(service, Target("", "s", "80")) == "web"
    with pytest.raises(errors.ServiceUnavailable, match="no service port 81"):
        service_port_name(service, Target("", "s", "81"))
    subset = core_v1.EndpointSubset(
        addresses=[core_v1.EndpointAddress(ip="10.1.2.3"), core_v1.EndpointAddress(ip="10.1.2.4")],
        not_ready_addresses=[core_v1.EndpointAddress(ip="10.1.2.5")],
        ports=[core_v1.EndpointPort(name="web", port=8080), core_v1.EndpointPort(name="admin", port=9090)],
    )
    ready = ready_addresses(core_v1.Endpoints(subsets=[subset]), "web")
    assert {(address.ip, port) for address, port in ready} == {("10.1.2.3", 8080), ("10.1.2.4", 8080)}


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("/a?b=1#c", f"{PREFIX}/a?b=1#c"),
        ("http://10.1.2.3:80/a", f"{PREFIX}/a"),
        ("https://api.example:6443/a/", f"{PREFIX}/a/"),
        (f"{PREFIX}/a", f"{PREFIX}/a"),
        ("a/b", "a/b"),
        ("http://else.example/a", "http://else.example/a"),
        ("//else.example/a", "//else.example/a"),
        ("mailto:x@y", "mailto:x@y"),
        ("javascript:go()", "javascript:go()"),
        ("#top", "#top"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_where_links_lead(link: str, expected: str) -> None:
    assert LINKS.rewritten(link) == expected


def test_pages_may_come_in_any_pieces() -> None:
    page = b"""<!doctype html><A HREF='/x'>x</A><script>if (a < b) c("<a href='/no'")</script><img alt="/k" src="/i">"""
    expected = page.replace(b"'/x'", f"'{PREFIX}/x'".encode()).replace(b'"/i"', f'"{PREFIX}/i"'.encode())
    for size in (1, 7, len(page)):
        change = HtmlLinks(LINKS)
        pieces = [change.feed(page[i : i + size]) for i in range(0, len(page), size)]
        assert b"".join([*pieces, change.end()]) == expected


def test_a_tag_without_an_end_is_not_held_for_ever() -> None:
    change = HtmlLinks(LINKS)
    data = b"<a " + b"x" * 70_000
    assert change.feed(data) + change.feed(b"y") + change.end() == data + b"y"


def test_an_interim_answer_is_not_the_answer() -> None:
    answer = Answer()
    answer.feed(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
    assert not answer.head_done
    answer.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert (answer.code, answer.taken(), answer.done) == (200, b"ok", True)
    assert answer.header(b"link") == b""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 80)"), "connection refused"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "the connection failed"),
        (socket.gaierror(-2, "Name or service not known"), "no such host"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:992)"), "TLS handshake failure"),
        (
            ConnectionResetError("the connection was closed before an answer"),
            "the connection was closed before an answer",
        ),
    ],
)
def test_a_connection_that_fails_is_told_in_the_words_of_the_operating_system(fault: OSError, words: str) -> None:
    assert why(fault) == words
