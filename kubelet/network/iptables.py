"""The few packet filter rules that pods need, through the ``iptables`` command: the engine's own back end.

Rules are declared once as data; making sure of them and taking them away are derived from that. Rules of others are
never touched. Blocks: call it in a thread.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

MASQUERADE_CHAIN = "PEAPOD-POSTROUTING"


class IptablesError(Exception):
    """``iptables`` refused; the message is its own."""


@dataclass(frozen=True)
class Rule:
    table: str
    chain: str
    match: tuple[str, ...]
    first: bool = False
    """At the head of the chain, before what others have there; else at its end."""


@dataclass(frozen=True)
class Rules:
    chains: tuple[tuple[str, str], ...]
    """Chains of our own: table and name."""
    rules: tuple[Rule, ...]


def pod_rules(pod_cidr: IPv4Network, inside: Sequence[IPv4Network]) -> Rules:
    """Forward what comes from or goes to pods; masquerade pods only towards what is not ``inside`` the cluster.

    Where Docker switched ip_forward on itself, the policy of FORWARD is DROP: only an ACCEPT in DOCKER-USER helps.
    """
    clusters = tuple(dict.fromkeys([pod_cidr, *inside]))
    accepts = [
        Rule("filter", "DOCKER-USER", (flag, str(cidr), *_comment("pods"), "-j", "ACCEPT"), first=True)
        for cidr in clusters
        for flag in ("-s", "-d")
    ]
    returns = [Rule("nat", MASQUERADE_CHAIN, ("-d", str(cidr), "-j", "RETURN")) for cidr in clusters]
    masquerade = Rule("nat", MASQUERADE_CHAIN, ("-j", "MASQUERADE"))
    jump = Rule("nat", "POSTROUTING", ("-s", str(pod_cidr), *_comment("pods to the outside"), "-j", MASQUERADE_CHAIN))
    return Rules((("nat", MASQUERADE_CHAIN),), (*accepts, *returns, masquerade, jump))


def ensure(wanted: Rules) -> None:
    """Make sure that the rules are there, in this order within our own chains. Raises ``IptablesError``."""
    for table, chain in wanted.chains:
        expected = [rule for rule in wanted.rules if (rule.table, rule.chain) == (table, chain)]
        if _listed(table, chain) != len(expected) or not all(map(_exists, expected)):
            _try("-t", table, "-N", chain)
            _run("-t", table, "-F", chain)
            for rule in expected:
                _run("-t", table, "-A", chain, *rule.match)
    for rule in wanted.rules:
        if (rule.table, rule.chain) not in wanted.chains and not _exists(rule):
            _run("-t", rule.table, "-I" if rule.first else "-A", rule.chain, *rule.match)


def _comment(text: str) -> tuple[str, ...]:
    return ("-m", "comment", "--comment", f"peapod: {text}")


def _listed(table: str, chain: str) -> int:
    """How many rules a chain has; -1 when there is no such chain."""
    done = _try("-t", table, "-S", chain)
    return done.stdout.count("\n-A ") if done.returncode == 0 else -1


def _exists(rule: Rule) -> bool:
    return _try("-t", rule.table, "-C", rule.chain, *rule.match).returncode == 0


def _run(*arguments: str) -> None:
    done = _try(*arguments)
    if done.returncode != 0:
        raise IptablesError(f"iptables {' '.join(arguments)}: {done.stderr.strip()}")


def _try(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["iptables", "-w", "5", *arguments], capture_output=True, text=True)
