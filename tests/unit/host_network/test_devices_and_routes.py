"""Addresses, bridges and routes as ``ip`` prints them, and the commands that change them."""

import json
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from host_network import commands, devices, routes
from host_network.commands import CommandError
from host_network.devices import SERVICE_BRIDGE, Address
from host_network.routes import Route

RANGE = IPv4Network("10.0.0.0/16")


class FakeIp:
    """Answers ``ip -json``; notes what would change something."""

    def __init__(self) -> None:
        self.links: list[dict[str, Any]] = [{"ifname": "lo", "mtu": 65536}, {"ifname": "eth0", "mtu": 1500}]
        self.addresses: list[dict[str, Any]] = [
            {},  # as printed for a link without such an address
            {"ifname": "eth0", "addr_info": [{"family": "inet", "local": "192.0.2.7", "prefixlen": 24}]},
        ]
        self.routes: list[dict[str, Any]] = [
            {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"},
            {"dst": "10.128.1.0/24", "gateway": "192.0.2.2", "dev": "eth0", "protocol": "80"},
            {"dst": "192.0.2.0/24", "dev": "eth0", "protocol": "kernel"},
        ]
        self.bridge_ports: list[dict[str, Any]] = []
        self.changes: list[str] = []

    def run(self, *command: str, text: str = "") -> str:
        match command[1:]:
            case ("-json", "-4", "address", "show"):
                return json.dumps(self.addresses)
            case ("-json", "-4", "route", "show", "table", "main"):
                return json.dumps(self.routes)
            case ("-json", "-4", "route", "show", "dev", device):
                if device not in [link["ifname"] for link in self.links]:
                    raise CommandError(f'Cannot find device "{device}"')
                return json.dumps([route for route in self.routes if route["dev"] == device])
            case ("-json", "-details", "link", "show", "type", "bridge_slave"):
                return json.dumps(self.bridge_ports)
            case ("-json", "link", "show"):
                return json.dumps(self.links)
            case ("-json", "link", "show", "dev", device):
                return json.dumps([link for link in self.links if link["ifname"] == device])
            case change:
                self.changes.append(" ".join(change))
                return ""


@pytest.fixture
def ip(monkeypatch: pytest.MonkeyPatch) -> FakeIp:
    fake = FakeIp()
    monkeypatch.setattr(commands, "run", fake.run)
    return fake


def test_addresses_and_routes_are_read(ip: FakeIp) -> None:
    eth0 = Address(IPv4Address("192.0.2.7"), IPv4Network("192.0.2.0/24"), "eth0")
    assert devices.addresses() == [eth0]
    assert devices.mtu_of("eth0") == 1500
    assert routes.routes() == [
        Route(IPv4Network("0.0.0.0/0"), IPv4Address("192.0.2.1"), "eth0", ours=False),
        Route(IPv4Network("10.128.1.0/24"), IPv4Address("192.0.2.2"), "eth0", ours=True),
        Route(IPv4Network("192.0.2.0/24"), None, "eth0", ours=False),
    ]


def test_the_service_range_is_routed_to_a_bridge_of_its_own(ip: FakeIp) -> None:
    routes.ensure_service_route(RANGE)
    assert ip.changes == [
        f"link add {SERVICE_BRIDGE} type bridge",
        f"link set {SERVICE_BRIDGE} up",
        f"-4 route add {RANGE} dev {SERVICE_BRIDGE} proto 80",
    ]


def test_a_route_that_is_there_is_left_alone_and_a_lost_one_is_restored(ip: FakeIp) -> None:
    ip.links.append({"ifname": SERVICE_BRIDGE, "mtu": 1500})
    routes.ensure_service_route(RANGE)
    assert ip.changes == [f"link set {SERVICE_BRIDGE} up", f"-4 route add {RANGE} dev {SERVICE_BRIDGE} proto 80"]
    ip.changes.clear()
    ip.routes.append({"dst": str(RANGE), "dev": SERVICE_BRIDGE})
    routes.ensure_service_route(RANGE)
    assert ip.changes == []


def test_only_a_bridge_that_exists_is_removed(ip: FakeIp) -> None:
    routes.remove_service_route()
    assert ip.changes == []
    ip.links.append({"ifname": SERVICE_BRIDGE, "mtu": 1500})
    routes.remove_service_route()
    assert ip.changes == [f"link delete {SERVICE_BRIDGE}"]


def port(name: str, master: str, hairpin: bool) -> dict[str, Any]:
    return {"ifname": name, "master": master, "linkinfo": {"info_slave_data": {"hairpin": hairpin}}}


def test_hairpin_mode_is_for_the_ports_of_the_pods_bridge(ip: FakeIp) -> None:
    ip.addresses.append({"ifname": "peapod0", "addr_info": [{"local": "10.128.1.1", "prefixlen": 24}]})
    ip.bridge_ports = [port("pod-1", "peapod0", False), port("pod-2", "peapod0", True), port("other", "docker0", False)]
    devices.enable_hairpin(IPv4Network("10.128.0.0/16"))
    assert ip.changes == ["link set dev pod-1 type bridge_slave hairpin on"]
