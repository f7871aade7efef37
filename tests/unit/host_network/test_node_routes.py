"""Routes to other nodes' pods as pure functions."""

from ipaddress import IPv4Address, IPv4Network

from apimachinery.types import core_v1, meta_v1
from host_network.node_routes import Plan, gateways_of, plan
from host_network.routes import Route


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
    assert gateways_of(nodes, "me") == {IPv4Network("10.128.1.0/24"): IPv4Address("192.168.0.2")}


def test_only_our_own_routes_are_changed() -> None:
    one, two, three = (IPv4Network(f"10.128.{n}.0/24") for n in (1, 2, 3))
    here, there = IPv4Address("192.168.0.2"), IPv4Address("192.168.0.3")
    present = [
        Route(one, here, "eth0", True),
        Route(two, here, "eth0", True),
        Route(three, here, "eth0", False),
    ]
    assert plan({one: here, two: there}, present) == Plan(add=((two, there),))
    assert plan({one: here}, present) == Plan(delete=((two, here),))
    assert plan({one: here, two: here}, present) == Plan()
