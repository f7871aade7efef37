"""Which addresses a lab gets, depending on the host's routes."""

from ipaddress import IPv4Network

import pytest

from deploy.lab.addresses import LABS, Addresses, Route, conflict, first_free, parse_routes
from deploy.lab.errors import LabError


def route(network: str, device: str = "eth0") -> Route:
    return Route(IPv4Network(network), device)


def test_each_lab_has_ranges_of_its_own() -> None:
    ranges = [network for n in range(LABS) for network in (Addresses(n).network, Addresses(n).cluster_cidr)]
    assert not [(a, b) for a in ranges for b in ranges if a is not b and a.overlaps(b)]


def test_machines_have_the_documented_addresses() -> None:
    lab = Addresses(3)
    assert [str(a) for a in (lab.host, lab.master, lab.node(1), lab.node(2))] == [
        "100.64.3.1",
        "100.64.3.2",
        "100.64.3.10",
        "100.64.3.11",
    ]
    assert str(lab.cluster_cidr) == "10.131.0.0/16"
    assert len(Addresses(15).interface) < 16, "the kernel's limit for an interface's name"


@pytest.mark.parametrize(
    ("network", "clashes"),
    [
        pytest.param("100.64.0.0/24", True, id="the same network"),
        pytest.param("100.64.0.77/32", True, id="an address in it"),
        pytest.param("100.64.0.0/10", True, id="a network around it"),
        pytest.param("10.128.4.0/24", True, id="part of the pods' range"),
        pytest.param("100.64.1.0/24", False, id="the next lab's"),
        pytest.param("192.0.2.0/24", False, id="somewhere else"),
        pytest.param("10.0.0.0/8", False, id="a site's wide route"),
    ],
)
def test_conflict_with_a_route_of_the_host(network: str, clashes: bool) -> None:
    assert bool(conflict(Addresses(0), [route(network)])) == clashes


def test_a_labs_own_interface_is_no_conflict_but_anothers_is() -> None:
    own = [route("100.64.0.0/24", "peapod0")]
    assert conflict(Addresses(0), own, own_interface="peapod0") is None
    assert "peapod0" in (conflict(Addresses(0), own) or "")


def test_the_first_free_number_is_chosen() -> None:
    assert first_free([]).index == 0
    assert first_free([route("100.64.0.0/23"), route("10.130.0.0/16")], taken=[3]).index == 4


def test_no_free_number_is_an_error_that_names_the_culprit() -> None:
    with pytest.raises(LabError, match=r"100\.64\.0\.0/10.*tailscale0"):
        first_free([route("100.64.0.0/10", "tailscale0")])


def test_routes_are_read_from_iproute2() -> None:
    output: list[dict[str, object]] = [
        {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
        {"type": "local", "dst": "127.0.0.1", "dev": "lo", "table": "local"},
        {"type": "unreachable", "dst": "198.51.100.0/24"},
    ]
    assert parse_routes(output) == [
        route("192.0.2.0/24"),
        route("127.0.0.1/32", "lo"),
        route("198.51.100.0/24", ""),
    ]
