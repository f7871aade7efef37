"""Whom to ask about names of others."""

import os
from pathlib import Path

import pytest

from kube_dns.upstreams import Server, Upstreams, nameservers, own_address, parse_server, parse_stub_domains

ONE, TWO = Server("192.0.2.1", 53), Server("192.0.2.2", 5353)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.1", ONE),
        ("192.0.2.2:5353", TWO),
        ("fd00::1", Server("fd00::1", 53)),
        ("[fd00::1]:5353", Server("fd00::1", 5353)),
    ],
)
def test_a_server_is_an_address_with_or_without_a_port(text: str, server: Server) -> None:
    assert parse_server(text) == server


@pytest.mark.parametrize("text", ["", "example.com", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:0", "192.0.2.1:70000"])
def test_anything_else_is_no_server(text: str) -> None:
    with pytest.raises(ValueError, match=r"port|address|number"):
        parse_server(text)


def test_resolv_conf_is_read_as_the_c_library_reads_it() -> None:
    text = "#nameserver 192.0.2.9\nsearch a b\nnameserver 192.0.2.1\nnameserver no\n nameserver\tfe80::1%eth0 #\n"

    assert nameservers(text) == [ONE, Server("fe80::1", 53)]


def test_the_longest_stub_domain_wins() -> None:
    upstreams = Upstreams([ONE], stub_domains=parse_stub_domains("Corp.=192.0.2.2:5353,a.corp=192.0.2.3+192.0.2.4"))

    assert upstreams.of("x.corp") == (TWO,)
    assert upstreams.of("x.a.corp") == (Server("192.0.2.3", 53), Server("192.0.2.4", 53))
    assert upstreams.of("xcorp") == (ONE,)
    assert upstreams.is_stub("corp")
    assert not upstreams.is_stub("example.com")


def test_resolv_conf_is_read_again_when_it_changes(tmp_path: Path) -> None:
    now = 0.0
    path = tmp_path / "resolv.conf"
    upstreams = Upstreams(resolv_conf=path, clock=lambda: now)
    assert upstreams.of("a.b") == ()

    path.write_text("nameserver 192.0.2.1\n")
    now += 6
    assert upstreams.of("a.b") == (ONE,)

    path.write_text("nameserver 192.0.2.7\n")
    os.utime(path, ns=(1, 1))
    now += 6
    assert upstreams.of("a.b") == (Server("192.0.2.7", 53),)


def test_this_server_is_never_asked(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 10.0.0.10\nnameserver 127.0.0.1\nnameserver 192.0.2.1\n")
    is_own = own_address(["0.0.0.0"], 53, [Server("10.0.0.10", 53)])

    assert Upstreams(resolv_conf=path, is_own=is_own).of("a.b") == (ONE,)


def test_another_server_on_this_machine_may_be_asked() -> None:
    is_own = own_address(["10.1.0.1"], 53)

    assert is_own(Server("10.1.0.1", 53))
    assert not is_own(Server("10.1.0.1", 54))
    assert not is_own(Server("127.0.0.53", 53))
