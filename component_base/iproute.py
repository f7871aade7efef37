"""This machine's addresses and routes, read and written through the ``ip`` command. Blocks: call it in a thread."""

import json
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

PROTOCOL = "80"
"""The routing protocol number that marks our routes: what carries another number is not ours to touch."""


class IpRouteError(Exception):
    """``ip`` refused; the message is its own."""


@dataclass(frozen=True)
class Route:
    destination: IPv4Network
    via: IPv4Address | None
    device: str
    ours: bool


@dataclass(frozen=True)
class Address:
    address: IPv4Address
    network: IPv4Network
    device: str


def addresses() -> list[Address]:
    """Every IPv4 address of the node."""
    return [
        Address(
            IPv4Address(one["local"]), IPv4Network(f"{one['local']}/{one['prefixlen']}", strict=False), link["ifname"]
        )
        for link in _ip_json("addr", "show")
        for one in link.get("addr_info", ())
        if one["family"] == "inet"
    ]


def routes() -> list[Route]:
    """The IPv4 routes of the main table."""
    found = []
    for one in _ip_json("-4", "route", "show", "table", "main"):
        destination = IPv4Network("0.0.0.0/0" if one["dst"] == "default" else one["dst"])
        via = IPv4Address(one["gateway"]) if "gateway" in one else None
        found.append(Route(destination, via, one.get("dev", ""), one.get("protocol") == PROTOCOL))
    return found


def mtu_of(device: str) -> int:
    return int(_ip_json("link", "show", "dev", device)[0]["mtu"])


def replace_route(destination: IPv4Network, via: IPv4Address) -> None:
    _ip("-4", "route", "replace", str(destination), "via", str(via), "proto", PROTOCOL)


def delete_route(destination: IPv4Network, via: IPv4Address) -> None:
    _ip("-4", "route", "del", str(destination), "via", str(via), "proto", PROTOCOL)


def _ip_json(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_ip("-json", *arguments) or "[]")
    return [one for one in found if one]  # ip prints an empty object for a link that it filtered out


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise IpRouteError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
