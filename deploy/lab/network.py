"""The lab's wires: a namespace for each machine, a bridge in one of its own, one cable to the host.

The bridge is not in the host's namespace: there the host's firewall (Docker's FORWARD policy, to name one)
would drop what the machines say to each other. Nothing here leads out of the host unless egress is asked
for. ``create`` may be called again at any time and only adds what is missing.
"""

import logging
from pathlib import Path

from deploy.lab import namespaces
from deploy.lab.errors import LabError
from deploy.lab.execute import attempt, ip, ip_batch, run
from deploy.lab.lab import MASTER, Lab, claims

log = logging.getLogger(__name__)

BRIDGE = "peapod"
CABLE = "host"
"""The bridge's end of the cable whose other end is the host's."""
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def create(lab: Lab) -> bool:
    """Make what is missing of the lab's network; whether anything was. Raises LabError."""
    changed = False
    if not namespaces.exists(lab.bridge_namespace):
        _create_bridge(lab)
        changed = True
    if not Path("/sys/class/net", lab.addresses.interface).exists():
        _join_host(lab)
        changed = True
    for machine in [MASTER, *lab.nodes]:
        if not namespaces.exists(lab.namespace(machine)):
            _create_machine(lab, machine)
            changed = True
    set_egress(lab, lab.settings.egress)
    return changed


def destroy(lab: Lab) -> None:
    """Remove the lab's namespaces, and with them its bridge, cables and rules. The namespaces must be empty."""
    set_egress(lab, False)
    if Path("/sys/class/net", lab.addresses.interface).exists():
        ip("link", "delete", lab.addresses.interface)
    for namespace in existing(lab):
        ip("netns", "delete", namespace)


def existing(lab: Lab) -> list[str]:
    """The lab's namespaces that exist, with those of nodes that an earlier ``NODES=`` asked for."""
    names = set(lab.namespaces)
    folder = Path("/run/netns")
    for path in folder.glob(f"{lab.prefix}-node-*"):
        if path.name.removeprefix(f"{lab.prefix}-node-").isdigit():
            names.add(path.name)
    return sorted(name for name in names if namespaces.exists(name))


def remove_machine(lab: Lab, machine: str) -> None:
    """Take one machine's namespace away; its cable goes with it."""
    if namespaces.exists(lab.namespace(machine)):
        ip("netns", "delete", lab.namespace(machine))


def _create_bridge(lab: Lab) -> None:
    ip("netns", "add", lab.bridge_namespace)
    ip_batch(
        ["link set lo up", f"link add {BRIDGE} type bridge forward_delay 0", f"link set {BRIDGE} up"],
        namespace=lab.bridge_namespace,
    )


def _join_host(lab: Lab) -> None:
    interface = lab.addresses.interface
    ip_batch(
        [
            f"link add {interface} type veth peer name {CABLE} netns {lab.bridge_namespace}",
            f"address add {lab.addresses.host}/{lab.addresses.network.prefixlen} dev {interface}",
            f"link set {interface} up",
        ]
    )
    ip_batch([f"link set {CABLE} master {BRIDGE} up"], namespace=lab.bridge_namespace)


def _create_machine(lab: Lab, machine: str) -> None:
    namespace = lab.namespace(machine)
    address = str(lab.addresses.master) if machine == MASTER else lab.node_address(machine)
    ip("netns", "add", namespace)
    # Before anything of the engine starts: where it finds forwarding off, it turns FORWARD to DROP.
    namespaces.call_in(namespace, lambda: FORWARDING.write_text("1"))
    ip_batch(
        [
            f"link add name {machine} type veth peer name eth0 netns {namespace}",
            f"link set dev {machine} master {BRIDGE} up",
        ],
        namespace=lab.bridge_namespace,
    )
    ip_batch(
        [
            "link set lo up",
            f"address add {address}/{lab.addresses.network.prefixlen} dev eth0",
            "link set eth0 up",
        ],
        namespace=namespace,
    )


def _egress_rules(lab: Lab) -> list[list[str]]:
    """The host's rules for egress; each is a table, a chain and what comes after."""
    mark = ["-m", "comment", "--comment", f"peapod lab {lab.name}"]
    interface, network = lab.addresses.interface, str(lab.addresses.network)
    outwards = ["nat", "POSTROUTING", "-s", network, "!", "-o", interface, *mark, "-j", "MASQUERADE"]
    return [
        outwards,
        ["filter", "FORWARD", "-i", interface, *mark, "-j", "ACCEPT"],
        ["filter", "FORWARD", "-o", interface, *mark, "-j", "ACCEPT"],
    ]


def set_egress(lab: Lab, wanted: bool) -> None:
    """Let the lab's machines reach the outside through the host, or take that away."""
    record = lab.run / "egress"
    if not wanted and not record.exists():
        return
    for table, chain, *rule in _egress_rules(lab):
        present = attempt(["iptables", "-w", "-t", table, "-C", chain, *rule]).returncode == 0
        if wanted and not present:
            run(["iptables", "-w", "-t", table, "-I", chain, *rule])
        elif present and not wanted:
            run(["iptables", "-w", "-t", table, "-D", chain, *rule])
    if wanted:
        if not record.exists():
            record.write_text(FORWARDING.read_text())
        FORWARDING.write_text("1")
    else:
        before = record.read_text().strip()
        record.unlink()
        # Forwarding is the host's; it goes back to what it was when the last lab that needs it ends.
        if before == "0" and not any((lab.run.parent / name / "egress").exists() for name in claims()):
            FORWARDING.write_text("0")
    for machine in [MASTER, *lab.nodes]:
        _set_default_route(lab, machine, wanted)


def _set_default_route(lab: Lab, machine: str, wanted: bool) -> None:
    namespace = lab.namespace(machine)
    if not namespaces.exists(namespace):
        return
    if wanted:
        ip("-n", namespace, "route", "replace", "default", "via", str(lab.addresses.host))
    else:
        attempt(["ip", "-n", namespace, "route", "delete", "default"])  # it may be gone, which is the aim


def check_reachable(lab: Lab) -> None:
    """Raise LabError unless the host knows its way to the master over the lab's own cable."""
    route = ip("-4", "route", "get", str(lab.addresses.master))
    if f"dev {lab.addresses.interface}" not in route:
        raise LabError(f"the host does not reach the lab over {lab.addresses.interface}, but so: {route.strip()}")
