"""Which ranges of addresses overlap."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from host_network.devices import Address
from host_network.routes import Route
from kubelet.network.pod_network import Overlap, check_overlaps

CIDR = IPv4Network("10.128.0.0/16")
ETH0 = Address(IPv4Address("10.128.3.4"), IPv4Network("10.128.3.0/24"), "eth0")


@pytest.mark.parametrize(
    ("addresses", "present", "named"),
    [
        ([ETH0], [], "--cluster-cidr 10.128.0.0/16 overlaps 10.128.3.4"),
        ([], [Route(IPv4Network("10.0.0.0/8"), None, "tun0", False)], "overlaps the route to 10.0.0.0/8 through tun0"),
    ],
)
def test_an_overlap_is_refused_naming_both(addresses: list[Address], present: list[Route], named: str) -> None:
    with pytest.raises(Overlap, match=named):
        check_overlaps([("--cluster-cidr", CIDR)], addresses, present)


def test_what_is_ours_and_the_default_route_are_no_overlap() -> None:
    bridge = Address(IPv4Address("10.128.1.1"), IPv4Network("10.128.1.0/24"), "peapod0")
    present = [
        Route(IPv4Network("0.0.0.0/0"), IPv4Address("192.168.0.1"), "eth0", False),
        Route(IPv4Network("10.128.2.0/24"), IPv4Address("192.168.0.2"), "eth0", True),
        Route(IPv4Network("10.128.1.0/24"), None, "peapod0", False),
        Route(IPv4Network("192.168.0.0/24"), None, "eth0", False),
    ]
    check_overlaps([("--cluster-cidr", CIDR)], [bridge], present)
