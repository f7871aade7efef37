"""This machine's routes, and the one of the service range. Blocks: call it in a thread.

Without a route of its own, a packet to a service address that no rule redirects would follow the default route out of
the node, or fail before the OUTPUT chain can refuse it. So the range is routed to an empty bridge without an address;
the proxy's filter rules refuse what would enter it. (A dummy interface would do as well, but not every kernel has one.)
"""

import logging
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from host_network import devices
from host_network.commands import CommandError, ip, ip_json
from host_network.devices import SERVICE_BRIDGE

log = logging.getLogger(__name__)

PROTOCOL = "80"
"""The routing protocol number that marks our routes: what carries another number is not ours to touch."""


@dataclass(frozen=True)
class Route:
    destination: IPv4Network
    via: IPv4Address | None
    device: str
    ours: bool


def routes() -> list[Route]:
    """The IPv4 routes of the main table."""
    return [
        Route(
            destination=_network(entry["dst"]),
            via=IPv4Address(entry["gateway"]) if "gateway" in entry else None,
            device=entry.get("dev", ""),
            ours=entry.get("protocol") == PROTOCOL,
        )
        for entry in ip_json("-4", "route", "show", "table", "main")
    ]


def add_route(destination: IPv4Network, via: IPv4Address) -> None:
    """Make a route of ours. Raises ``CommandError`` if there is one to the same destination, whosever it is."""
    ip("-4", "route", "add", str(destination), "via", str(via), "proto", PROTOCOL)


def replace_route(destination: IPv4Network, via: IPv4Address) -> None:
    """Change a route of ours: the kernel would replace anybody's."""
    ip("-4", "route", "replace", str(destination), "via", str(via), "proto", PROTOCOL)


def delete_route(destination: IPv4Network, via: IPv4Address) -> None:
    ip("-4", "route", "del", str(destination), "via", str(via), "proto", PROTOCOL)


def ensure_service_route(service_range: IPv4Network) -> None:
    """Make the bridge and the route if they are missing. Safe to repeat.

    Raises:
        CommandError
    """
    with suppress(CommandError):  # no such bridge
        routed = ip_json("-4", "route", "show", "dev", SERVICE_BRIDGE)
        if str(service_range) in (route["dst"] for route in routed):
            return
    if not devices.exists(SERVICE_BRIDGE):
        ip("link", "add", SERVICE_BRIDGE, "type", "bridge")
    ip("link", "set", SERVICE_BRIDGE, "up")
    ip("-4", "route", "add", str(service_range), "dev", SERVICE_BRIDGE, "proto", PROTOCOL)
    log.info("%s: routed to %s", service_range, SERVICE_BRIDGE)


def remove_service_route() -> None:
    """Remove the bridge, and the route with it.

    Raises:
        CommandError
    """
    if devices.exists(SERVICE_BRIDGE):
        ip("link", "delete", SERVICE_BRIDGE)


def _network(destination: str) -> IPv4Network:
    return IPv4Network("0.0.0.0/0" if destination == "default" else destination)
