"""Flags that depend on each other, and the objects that registration wants."""

from pathlib import Path

import pytest

from component_base.flags import flags_of, parse
from kube_dns import registration
from kube_dns.options import KubeDnsOptions
from kube_dns.registration import Place
from kube_dns.upstreams import Server
from tests.kubeconfigs import kubeconfig_flag
from tests.refused_flags import as_file, refusal

REGISTER = "--register-service=10.0.0.10"


def options(*flags: str) -> KubeDnsOptions:
    return parse(KubeDnsOptions, "kube-dns", argv=flags)


def valid(flag: str) -> list[str]:
    """What must be right for ``flag`` to be the one that is wrong."""
    return [] if flag == "kubeconfig" else [kubeconfig_flag()]


@pytest.mark.parametrize(
    ("flags", "place"),
    [
        ((), None),
        ((REGISTER, "--advertise-address=192.0.2.1"), Place("10.0.0.10", "192.0.2.1", 53)),
        ((REGISTER, "--advertise-address=192.0.2.1", "--advertise-port=54"), Place("10.0.0.10", "192.0.2.1", 54)),
        ((REGISTER, "--dns-bind-address=192.0.2.2", "--dns-port=55"), Place("10.0.0.10", "192.0.2.2", 55)),
    ],
)
def test_where_to_register(flags: tuple[str, ...], place: Place | None) -> None:
    assert options(kubeconfig_flag(), *flags).place() == place


BAD = [
    ("kubeconfig", "/nonexistent"),
    ("kubeconfig", "{junk}"),
    ("domain", "."),
    ("domain", "a..b"),
    ("dns-bind-address", ""),
    ("dns-bind-address", "everywhere"),
    ("dns-port", "70000"),
    ("ttl", "2h"),
    ("ttl", "-1s"),
    ("reverse-ranges", "10.0.0.0/16,fd00::/108"),
    ("reverse-ranges", "10.0.0.1/16"),
    ("upstream", "nonsense"),
    ("upstream", "192.0.2.1:0"),
    ("upstream", "[::1]5"),
    ("upstream", "[192.0.2.1"),
    ("resolv-conf", "/nonexistent"),
    ("stub-domains", "corp=nonsense"),
    ("stub-domains", "corp"),
    ("stub-domains", ".=192.0.2.1"),
    ("stub-domains", "corp=192.0.2.1,corp=192.0.2.2"),
    ("stub-domains", "corp=192.0.2.1,Corp.=192.0.2.2"),
    ("cache-size", "-1"),
    ("register-service", "fd00::a"),
    ("register-service", "10.0.0.10"),
    ("advertise-address", "fd00::1"),
    ("advertise-address", "0.0.0.0"),
    ("advertise-port", "65536"),
    ("healthz-bind-address", "localhost"),
    ("healthz-port", "-1"),
    ("metrics-bind-address", "everywhere"),
    ("metrics-port", "70000"),
    ("tls-cert-file", "/nonexistent"),
    ("tls-cert-file", "{junk}"),
    ("tls-private-key-file", "{junk}"),
    ("client-ca-file", "{junk}"),
    ("config", "{junk}"),
    ("v", "-1"),
    ("logging-format", "xml"),
]


@pytest.mark.parametrize(("flag", "value"), BAD)
def test_a_bad_value_ends_the_start_with_one_line_that_names_the_flag(
    flag: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junk = tmp_path / "junk"
    junk.write_text("junk\n")
    flags = [*valid(flag), f"--{flag}={value.format(junk=junk)}"]
    assert f"--{flag}" in refusal(KubeDnsOptions, flags, capsys)
    if flag != "config":
        assert f"--{flag}" in refusal(KubeDnsOptions, as_file(flags, tmp_path), capsys)


def test_every_flag_is_in_the_table() -> None:
    assert {flag.name for flag in flags_of(KubeDnsOptions)} == {flag for flag, _ in BAD}


def test_an_empty_resolv_conf_is_none_and_servers_are_read() -> None:
    forward = options(
        kubeconfig_flag(), "--resolv-conf=", "--upstream=192.0.2.1,[2001:db8::1]:5353", "--stub-domains=Corp.=192.0.2.2"
    ).forward
    assert forward.resolv_conf is None
    assert forward.upstream == (Server("192.0.2.1", 53), Server("2001:db8::1", 5353))
    assert forward.stub_domains == {"corp": (Server("192.0.2.2", 53),)}


def test_the_desired_objects_satisfy_themselves_and_not_others() -> None:
    here, there = Place("10.0.0.10", "192.0.2.1", 53), Place("10.0.0.10", "192.0.2.2", 54)
    service, endpoints = registration.desired_service(here), registration.desired_endpoints(here)

    assert registration.service_matches(service, registration.desired_service(here))
    assert registration.endpoints_match(endpoints, registration.desired_endpoints(here))
    assert not registration.service_matches(service, registration.desired_service(there))
    assert not registration.endpoints_match(endpoints, registration.desired_endpoints(there))
    assert service.spec.selector is None
