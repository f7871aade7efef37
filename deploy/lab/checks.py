"""Checks before the lab starts; a failure is reported in one sentence, before anything has been started."""

import os
from collections.abc import Sequence

from deploy.lab import namespaces, network, packages, processes
from deploy.lab.addresses import Route, conflict, parse_routes
from deploy.lab.errors import LabError
from deploy.lab.execute import attempt, ip_json, last_line
from deploy.lab.lab import Lab, claim_of, claims, known_labs
from deploy.lab.processes import Daemon

KERNEL_PARTS = (
    ("veth pairs", "ip link add peapod-a type veth peer name peapod-b"),
    ("bridges", "ip link add peapod-c type bridge"),
    ("iptables NAT", "iptables -w -t nat -A POSTROUTING -s 100.64.0.0/16 -j MASQUERADE"),
    ("connection tracking", "iptables -w -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"),
    (
        "legacy iptables with REDIRECT",
        "iptables-legacy -w -t nat -A PREROUTING -p tcp -j REDIRECT --to-ports 9",
    ),
)
"""Features of the kernel, each with a command that tries it in a temporary network namespace."""


def before_start(lab: Lab, table: Sequence[Daemon]) -> None:
    """Run all checks. Raises LabError."""
    check_root()
    check_programs()
    check_owner(lab)
    check_kernel()
    check_addresses(lab)
    check_ports(lab, table)


def check_root() -> None:
    if os.geteuid() != 0:
        raise LabError("the lab needs root (network namespaces, container engines): run it as root or with sudo")


def check_programs() -> None:
    for program, candidates in packages.missing(packages.LAB).items():
        raise LabError(f"{program} is missing; install Debian's package {' or '.join(candidates)}")


def unknown_versions() -> list[str]:
    """A sentence for each program whose version the tests do not cover."""
    sentences = []
    for name, known in packages.KNOWN.items():
        if version := known.differs(attempt(known.command).stdout):
            sentences.append(f"{name} is {version}; Peapod is tested with {', '.join(known.tested)}")
    return sentences


def check_kernel() -> None:
    with open("/proc/mounts") as mounts:
        if not any(line.split()[2] in ("cgroup", "cgroup2") for line in mounts):
            raise LabError("no cgroups are mounted on this host (/sys/fs/cgroup); containers need them")
    script = "\n".join(f"echo '{part}'; {command} >/dev/null || exit 1" for part, command in KERNEL_PARTS)
    trial = attempt(["unshare", "--net", "sh", "-c", script])
    if trial.returncode != 0:
        part = last_line(trial.stdout) or "network namespaces"
        raise LabError(f"this host's kernel does not support {part}: {last_line(trial.stderr)}")


def host_routes() -> list[Route]:
    return parse_routes(ip_json("-4", "route", "show", "table", "all"))


def taken_numbers(name: str) -> list[int]:
    """The numbers of other labs: those that are up on this host, and those of this checkout that are down."""
    up = [claim.index for other, claim in claims().items() if other != name]
    return up + [settings.index for other, settings in known_labs().items() if other != name]


def check_owner(lab: Lab) -> None:
    """The lab's names on this machine must be unused, or belong to this checkout."""
    claim = claim_of(lab.name)
    if claim is None:
        for namespace in network.existing(lab):
            raise LabError(f"the network namespace {namespace} exists and is not this lab's; use LAB=<name>")
    elif claim.checkout != lab.checkout:
        raise LabError(
            f"a lab named {lab.name!r} already runs from {claim.checkout}; "
            f"end it there with 'make down', or name this one with LAB=<name>"
        )


def check_addresses(lab: Lab) -> None:
    claim = claim_of(lab.name)
    for other, claimed in claims().items():
        if other != lab.name and claimed.index == lab.settings.index:
            raise LabError(
                f"the lab {other!r} of {claimed.checkout} uses the addresses {lab.addresses.network} of this one; "
                "end one of them, or give this one new addresses with 'make clean'"
            )
    own = lab.addresses.interface if claim else ""
    clash = conflict(lab.addresses, host_routes(), own)
    if clash:
        raise LabError(f"the lab's addresses are in use: {clash}; 'make clean' makes the lab choose others")


def check_ports(lab: Lab, table: Sequence[Daemon]) -> None:
    """Ports of daemons that are not running must be free in their namespaces."""
    for namespace in {daemon.namespace for daemon in table if daemon.ports}:
        if not namespaces.exists(namespace):
            continue
        used = namespaces.listening_ports(namespace)
        for daemon in table:
            if daemon.namespace == namespace and not processes.running(lab, daemon):
                for port in used.intersection(daemon.ports):
                    raise LabError(f"port {port} in {namespace}, which {daemon.key} needs, is in use")
