"""Routes to other nodes' pods as pure functions."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from apimachinery.types import core_v1, meta_v1
from host_network.devices import Address
from host_network.node_routes import Plan, gateways_of, plan
from host_network.routes import Route

CLUSTER = IPv4Network("10.128.0.0/16")
ETH0 = Address(IPv4Address("192.168.0.1"), IPv4Network("192.168.0.0/24"), "eth0")


def make_node(name: str, cidr: str | None, address: str | None, created: str | None = None) -> core_v1.Node:
    metadata = meta_v1.ObjectMeta(name=name, creation_timestamp=created)
    node = core_v1.Node(metadata=metadata, spec=core_v1.NodeSpec(pod_cidr=cidr))
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
    assert gateways_of(nodes, "me", CLUSTER) == ({IPv4Network("10.128.1.0/24"): IPv4Address("192.168.0.2")}, ())


def test_a_new_node_takes_nothing_from_the_others() -> None:
    """Neither the machines' own network nor a part of the pod network that an older node or this one has."""
    nodes = [
        make_node("a-thief", "10.128.1.0/25", "192.168.0.66", "2026-02-01T00:00:00Z"),
        make_node("machines", "192.168.0.0/24", "192.168.0.66", "2026-02-01T00:00:00Z"),
        make_node("mine", "10.128.0.0/24", "192.168.0.66", "2025-01-01T00:00:00Z"),
        make_node("other", "10.128.1.0/24", "192.168.0.2", "2026-01-01T00:00:00Z"),
        make_node("me", "10.128.0.0/24", "192.168.0.1", "2026-01-01T00:00:00Z"),
    ]
    assert gateways_of(nodes, "me", CLUSTER) == (
        {IPv4Network("10.128.1.0/24"): IPv4Address("192.168.0.2")},
        (
            "node mine: pod CIDR 10.128.0.0/24 overlaps the pod CIDR of node me",
            "node a-thief: pod CIDR 10.128.1.0/25 overlaps the pod CIDR of node other",
            "node machines: pod CIDR 192.168.0.0/24 is not inside the cluster's pod network 10.128.0.0/16",
        ),
    )


def test_only_our_own_routes_are_changed() -> None:
    one, two, three = (IPv4Network(f"10.128.{n}.0/24") for n in (1, 2, 3))
    here, there = IPv4Address("192.168.0.2"), IPv4Address("192.168.0.3")
    present = [
        Route(one, here, "eth0", True),
        Route(two, here, "eth0", True),
        Route(three, here, "eth0", False),
    ]
    assert plan({one: here, two: there}, present, [ETH0]) == Plan(replace=((two, there),))
    assert plan({one: here}, present, [ETH0]) == Plan(delete=((two, here),))
    assert plan({one: here, two: here}, present, [ETH0]) == Plan()
    assert plan({one: here, two: here}, present[:1], [ETH0]) == Plan(add=((two, here),))
    assert plan({one: here, two: here, three: here}, present, [ETH0]) == Plan(
        faults=(f"route to {three} via {here}: there is a route of others to it, through eth0",)
    )


@pytest.mark.parametrize(
    ("cidr", "via", "fault"),
    [
        ("192.168.0.0/24", "192.168.0.2", "it overlaps 192.168.0.0/24 of eth0"),
        ("192.168.0.128/25", "192.168.0.2", "it overlaps 192.168.0.0/24 of eth0"),
        ("192.168.0.0/16", "192.168.0.2", "it overlaps 192.168.0.0/24 of eth0"),
        ("10.128.1.0/24", "8.8.8.8", "the gateway is on no network of this machine"),
        ("10.128.1.0/24", "127.0.0.2", "the gateway is on no network of this machine"),
        ("10.128.1.0/24", "10.128.0.7", "the gateway is on no network of this machine"),
    ],
)
def test_a_route_that_would_cut_the_machine_off_is_not_made(cidr: str, via: str, fault: str) -> None:
    loopback = Address(IPv4Address("127.0.0.1"), IPv4Network("127.0.0.0/8"), "lo")
    bridge = Address(IPv4Address("10.128.0.1"), IPv4Network("10.128.0.0/24"), "peapod0")
    step = plan({IPv4Network(cidr): IPv4Address(via)}, [], [loopback, bridge, ETH0])
    assert step == Plan(faults=(f"route to {cidr} via {via}: {fault}",))
