"""Flags that depend on each other, and the objects that registration wants."""

import pytest

from component_base.flags import parse
from kube_dns import registration
from kube_dns.options import KubeDnsOptions
from kube_dns.registration import Place

REGISTER = "--register-service=10.0.0.10"


def options(*flags: str) -> KubeDnsOptions:
    return parse(KubeDnsOptions, "kube-dns", argv=flags)


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
    assert options(*flags).place() == place


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        (REGISTER, "--advertise-address"),
        ("--upstream=nonsense", "--upstream"),
        ("--stub-domains=corp=nonsense", "--stub-domains"),
        ("--domain=.", "--domain"),
        ("--ttl=2h", "--ttl"),
        ("--dns-port=70000", "--dns-port"),
        ("--dns-bind-address=", "--dns-bind-address"),
    ],
)
def test_a_bad_flag_ends_the_start_with_its_name(
    flag: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        options(flag)

    assert exit.value.code == 2
    assert named in capsys.readouterr().err


def test_the_wanted_objects_satisfy_themselves_and_not_others() -> None:
    here, there = Place("10.0.0.10", "192.0.2.1", 53), Place("10.0.0.10", "192.0.2.2", 54)
    service, endpoints = registration.wanted_service(here), registration.wanted_endpoints(here)

    assert registration.service_is_as_wanted(service, registration.wanted_service(here))
    assert registration.endpoints_are_as_wanted(endpoints, registration.wanted_endpoints(here))
    assert not registration.service_is_as_wanted(service, registration.wanted_service(there))
    assert not registration.endpoints_are_as_wanted(endpoints, registration.wanted_endpoints(there))
    assert service.spec.selector is None
