"""The route of the service range to an empty bridge, so that packets to it are the node's own business.

Without a route of its own, a packet to a service address that no rule redirects would follow the default route out of
the node, or fail before the OUTPUT chain can refuse it. The bridge has no ports and no address; the rules
in KUBE-PORTALS-REJECT refuse what would enter it. (A dummy interface would do as well, but not every kernel has one.)
"""

import asyncio
import logging
from ipaddress import IPv4Network

log = logging.getLogger(__name__)

BRIDGE = "peapod-svc"


class RouteError(Exception):
    """``ip`` said no; the message is its own."""


async def ensure(service_range: IPv4Network) -> None:
    """Make the bridge and the route if they are not there. Safe to repeat.

    Raises:
        RouteError: they cannot be made.
    """
    wanted = str(service_range)
    routes = await run_ip("-o", "-4", "route", "show", "dev", BRIDGE, check=False)
    if wanted in {line.split()[0] for line in routes.splitlines() if line.strip()}:
        return
    if not await run_ip("-o", "link", "show", "dev", BRIDGE, check=False):
        await run_ip("link", "add", BRIDGE, "type", "bridge")
    await run_ip("link", "set", BRIDGE, "up")
    await run_ip("route", "replace", wanted, "dev", BRIDGE)
    log.info("%s: routed to %s", wanted, BRIDGE)


async def remove() -> None:
    """Remove the bridge, and the route with it."""
    if await run_ip("-o", "link", "show", "dev", BRIDGE, check=False):
        await run_ip("link", "delete", BRIDGE)


async def run_ip(*arguments: str, check: bool = True) -> str:
    """Output of the ``ip`` command; empty if it failed and ``check`` is off."""
    try:
        process = await asyncio.create_subprocess_exec(
            "ip", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as exc:
        raise RouteError(f"ip: {exc}") from exc
    output, complaint = await process.communicate()
    if process.returncode == 0:
        return output.decode()
    if check:
        raise RouteError(f"ip {' '.join(arguments)}: {complaint.decode().strip()}")
    return ""
