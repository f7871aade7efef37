"""The lab's network: a namespace for each machine, a bridge in a separate one, and a veth pair to the host.

The bridge is not in the host's namespace, since the host's firewall (Docker's FORWARD policy, for example) would drop
the machines' traffic there. Without egress nothing leaves the host. ``create`` may be called again at any time and only
adds what is missing.
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
"""The bridge's end of the veth pair to the host."""
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def create(lab: Lab) -> bool:
    """Create what is missing of the lab's network. Returns whether anything was. Raises LabError."""
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
    """Remove the lab's namespaces, and with them its bridge, veth pairs and rules. The namespaces must be empty."""
    set_egress(lab, False)
    if Path("/sys/class/net", lab.addresses.interface).exists():
        ip("link", "delete", lab.addresses.interface)
    for namespace in existing(lab):
        ip("netns", "delete", namespace)


def existing(lab: Lab) -> list[str]:
    """The lab's namespaces that exist, including those of nodes that it no longer has."""
    names = set(lab.namespaces)
    folder = Path("/run/netns")
    for path in folder.glob(f"{lab.prefix}-node-*"):
        if path.name.removeprefix(f"{lab.prefix}-node-").isdigit():
            names.add(path.name)
    return sorted(name for name in names if namespaces.exists(name))


def remove_machine(lab: Lab, machine: str) -> None:
    """Remove one machine's namespace, and with it its veth pair."""
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
    # Before the engine starts: if forwarding is off, it sets the policy of FORWARD to DROP.
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
    """The host's rules for egress; each is a table, a chain and the rule itself."""
    mark = ["-m", "comment", "--comment", f"peapod lab {lab.name}"]
    interface, network = lab.addresses.interface, str(lab.addresses.network)
    outwards = ["nat", "POSTROUTING", "-s", network, "!", "-o", interface, *mark, "-j", "MASQUERADE"]
    return [
        outwards,
        ["filter", "FORWARD", "-i", interface, *mark, "-j", "ACCEPT"],
        ["filter", "FORWARD", "-o", interface, *mark, "-j", "ACCEPT"],
    ]


def set_egress(lab: Lab, enabled: bool) -> None:
    """Enable or disable the machines' access to the outside through the host."""
    record = lab.run / "egress"
    if not enabled and not record.exists():
        return
    for table, chain, *rule in _egress_rules(lab):
        present = attempt(["iptables", "-w", "-t", table, "-C", chain, *rule]).returncode == 0
        if enabled and not present:
            run(["iptables", "-w", "-t", table, "-I", chain, *rule])
        elif present and not enabled:
            run(["iptables", "-w", "-t", table, "-D", chain, *rule])
    if enabled:
        if not record.exists():
            record.write_text(FORWARDING.read_text())
        FORWARDING.write_text("1")
    else:
        before = record.read_text().strip()
        record.unlink()
        # The host's setting is restored when the last lab that needs forwarding ends.
        if before == "0" and not any((lab.run.parent / name / "egress").exists() for name in claims()):
            FORWARDING.write_text("0")
    for machine in [MASTER, *lab.nodes]:
        _set_default_route(lab, machine, enabled)


def _set_default_route(lab: Lab, machine: str, enabled: bool) -> None:
    namespace = lab.namespace(machine)
    if not namespaces.exists(namespace):
        return
    if enabled:
        ip("-n", namespace, "route", "replace", "default", "via", str(lab.addresses.host))
    else:
        attempt(["ip", "-n", namespace, "route", "delete", "default"])  # fails if there is none


def check_reachable(lab: Lab) -> None:
    """Raise LabError unless the host's route to the master uses the lab's interface."""
    route = ip("-4", "route", "get", str(lab.addresses.master))
    if f"dev {lab.addresses.interface}" not in route:
        raise LabError(f"the host's route to the lab does not use {lab.addresses.interface}: {route.strip()}")
