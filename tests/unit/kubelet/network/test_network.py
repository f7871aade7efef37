"""Overlaps, rules and routes as pure functions."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from apimachinery.types import core_v1, meta_v1
from component_base import routes
from component_base.iproute import Address, Route
from kubelet.network import iptables
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


def test_rules_masquerade_last_and_nothing_inside() -> None:
    found = iptables.pod_rules(IPv4Network("10.128.1.0/24"), [CIDR, IPv4Network("10.0.0.0/16")])
    own = [rule.match for rule in found.rules if rule.chain == iptables.MASQUERADE_CHAIN]
    assert own == [
        ("-d", "10.128.1.0/24", "-j", "RETURN"),
        ("-d", "10.128.0.0/16", "-j", "RETURN"),
        ("-d", "10.0.0.0/16", "-j", "RETURN"),
        ("-j", "MASQUERADE"),
    ]
    jump = next(rule for rule in found.rules if rule.chain == "POSTROUTING")
    assert jump.match[:2] == ("-s", "10.128.1.0/24")


def make_node(name: str, cidr: str | None, address: str | None) -> core_v1.Node:
    node = core_v1.Node(metadata=meta_v1.ObjectMeta(name=name), spec=core_v1.NodeSpec(pod_cidr=cidr))
    if address:
        node.status.addresses = [core_v1.NodeAddress(type="InternalIP", address=address)]
    return node


def test_routes_lead_to_every_other_node_that_has_range_and_address() -> None:
    nodes = [
        make_node("me", "10.128.0.0/24", "192.168.0.1"),
        make_node("other", "10.128.1.0/24", "192.168.0.2"),
        make_node("no-range", None, "192.168.0.3"),
        make_node("no-address", "10.128.2.0/24", None),
        make_node("six", "fd00::/64", "fd01::1"),
    ]
    assert routes.wanted_routes(nodes, "me") == {IPv4Network("10.128.1.0/24"): IPv4Address("192.168.0.2")}


def test_only_our_own_routes_are_changed() -> None:
    one, two, three = (IPv4Network(f"10.128.{n}.0/24") for n in (1, 2, 3))
    here, there = IPv4Address("192.168.0.2"), IPv4Address("192.168.0.3")
    present = [
        Route(one, here, "eth0", True),
        Route(two, here, "eth0", True),
        Route(three, here, "eth0", False),
    ]
    assert routes.plan({one: here, two: there}, present) == routes.Plan(add=((two, there),))
    assert routes.plan({one: here}, present) == routes.Plan(delete=((two, here),))
    assert routes.plan({one: here, two: here}, present) == routes.Plan()
