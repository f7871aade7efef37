"""Lets a pod's packets come back to it through the bridge that they came from.

Where the kernel shows bridged packets to netfilter (``bridge-nf-call-iptables``), a packet of a pod to its own service
is led back to the pod within the bridge, and a bridge does not send to the port that it received from unless that port
is in hairpin mode. Only kernel mode needs this: in userspace mode the packet ends in the proxy.
"""

import json
import logging
from ipaddress import IPv4Address, IPv4Network

from kube_proxy.service_range import RouteError, run_ip

log = logging.getLogger(__name__)


async def ensure(cluster_cidr: IPv4Network) -> None:
    """Hairpin mode for every port of the bridges that have an address of ``cluster_cidr``. Safe to repeat.

    Raises:
        RouteError: it cannot be set.
    """
    ports = json.loads(await run_ip("-j", "-d", "link", "show", "type", "bridge_slave") or "[]")
    flat = [one for one in ports if one and not one["linkinfo"]["info_slave_data"]["hairpin"]]
    if not flat:
        return
    links = json.loads(await run_ip("-j", "-4", "address", "show") or "[]")
    bridges = {
        link["ifname"]
        for link in links
        for address in link.get("addr_info", ())
        if link and IPv4Address(address["local"]) in cluster_cidr
    }
    for one in flat:
        if one["master"] in bridges:
            # The port may be gone by now, with its pod.
            try:
                await run_ip("link", "set", "dev", one["ifname"], "type", "bridge_slave", "hairpin", "on")
            except RouteError as exc:
                log.info("%s: %s", one["ifname"], exc)
