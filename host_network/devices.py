"""This machine's addresses and bridges. Blocks: call it in a thread."""

import logging
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final

from host_network.commands import CommandError, ip, ip_json

log = logging.getLogger(__name__)

POD_BRIDGE: Final = "peapod0"
"""The kubelet's: its pods are attached to it."""
SERVICE_BRIDGE: Final = "peapod-svc"
"""The proxy's: the service range is routed to it."""


@dataclass(frozen=True)
class Address:
    address: IPv4Address
    network: IPv4Network
    device: str


def addresses() -> list[Address]:
    """Every IPv4 address of the machine."""
    return [
        Address(
            IPv4Address(entry["local"]),
            IPv4Network(f"{entry['local']}/{entry['prefixlen']}", strict=False),
            link["ifname"],
        )
        for link in ip_json("-4", "address", "show")
        for entry in link.get("addr_info", ())
    ]


def mtu_of(device: str) -> int:
    """Bytes in the device's largest packet."""
    return int(ip_json("link", "show", "dev", device)[0]["mtu"])


def exists(device: str) -> bool:
    return any(link["ifname"] == device for link in ip_json("link", "show"))


def ensure_bridge(device: str, address: IPv4Interface, mtu: int) -> None:
    """Make the bridge if it is missing, and let it be up and have the address. Safe to repeat.

    Raises:
        CommandError
    """
    if not exists(device):
        log.warning("%s: there is no such bridge, made", device)
        ip("link", "add", device, "mtu", str(mtu), "type", "bridge")
    link = ip_json("address", "show", "dev", device)[0]
    if all(entry.get("local") != str(address.ip) for entry in link.get("addr_info", ())):
        ip("address", "add", str(address), "dev", device)
    if "UP" not in link["flags"]:
        ip("link", "set", "dev", device, "up")


def ports_of(bridge: str) -> set[int]:
    """Indexes of the devices that are attached to a bridge. Raises ``CommandError`` if there is no such bridge."""
    return {link["ifindex"] for link in ip_json("link", "show", "master", bridge)}


def enable_hairpin(network: IPv4Network) -> None:
    """Let every port of the bridges that have an address of ``network`` send back what it received. Safe to repeat.

    Where the kernel shows bridged packets to netfilter (``bridge-nf-call-iptables``), a pod's packet to its own
    service is redirected to the pod within the bridge, and a bridge sends nothing to the port that it came from unless
    that port is in hairpin mode.

    Raises:
        CommandError
    """
    ports = [
        port
        for port in ip_json("-details", "link", "show", "type", "bridge_slave")
        if not port["linkinfo"]["info_slave_data"]["hairpin"]
    ]
    bridges = {address.device for address in addresses() if address.address in network} if ports else set()
    for port in ports:
        if port["master"] in bridges:
            try:
                ip("link", "set", "dev", port["ifname"], "type", "bridge_slave", "hairpin", "on")
            except CommandError as exc:  # the port may be gone by now, with its pod
                log.info("%s: %s", port["ifname"], exc)
