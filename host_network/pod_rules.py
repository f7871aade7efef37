"""The few packet filter rules that pods need, in the back end that the container engine uses.

Rules are declared as data, and ``ensure`` puts them in place. Rules of others are never touched. Blocks: call it in a
thread.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network

from host_network.commands import CommandError, iptables

MASQUERADE_CHAIN = "PEAPOD-POSTROUTING"


@dataclass(frozen=True)
class Rule:
    table: str
    chain: str
    match: tuple[str, ...]
    first: bool = False
    """At the head of the chain, before what others have there; otherwise at its end."""


@dataclass(frozen=True)
class Rules:
    chains: tuple[tuple[str, str], ...]
    """Chains of our own: table and name."""
    rules: tuple[Rule, ...]
    shared: tuple[Rule, ...] = ()
    """Jumps to chains that the container engine shares with us, which may have to be created."""


def pod_rules(pod_cidr: IPv4Network, inside: Sequence[IPv4Network]) -> Rules:
    """Forward what comes from or goes to pods; masquerade pods only towards what is not ``inside`` the cluster.

    Where Docker switched ip_forward on itself, the policy of FORWARD is DROP: only an ACCEPT in DOCKER-USER helps.
    Docker makes that chain with the first network that it creates; after a reboot, where it finds all its networks, it
    does not.
    """
    user_chain = Rule("filter", "FORWARD", ("-j", "DOCKER-USER"), first=True)
    clusters = tuple(dict.fromkeys([pod_cidr, *inside]))
    accepts = [
        Rule("filter", "DOCKER-USER", (flag, str(cidr), *_comment("pods"), "-j", "ACCEPT"), first=True)
        for cidr in clusters
        for flag in ("-s", "-d")
    ]
    returns = [Rule("nat", MASQUERADE_CHAIN, ("-d", str(cidr), "-j", "RETURN")) for cidr in clusters]
    masquerade = Rule("nat", MASQUERADE_CHAIN, ("-j", "MASQUERADE"))
    jump = Rule("nat", "POSTROUTING", ("-s", str(pod_cidr), *_comment("pods to the outside"), "-j", MASQUERADE_CHAIN))
    return Rules((("nat", MASQUERADE_CHAIN),), (*accepts, *returns, masquerade, jump), (user_chain,))


def ensure(rules: Rules) -> None:
    """Make sure that the rules are there, in this order within our own chains. Raises ``CommandError``."""
    for table, chain in rules.chains:
        own = [rule for rule in rules.rules if (rule.table, rule.chain) == (table, chain)]
        if _count(table, chain) != len(own) or not all(map(_exists, own)):
            with suppress(CommandError):  # it exists
                iptables("-t", table, "-N", chain)
            iptables("-t", table, "-F", chain)
            for rule in own:
                iptables("-t", table, "-A", chain, *rule.match)
    for jump in rules.shared:
        if not _exists(jump):
            with suppress(CommandError):  # the chain exists
                iptables("-t", jump.table, "-N", jump.match[-1])
            iptables("-t", jump.table, "-I" if jump.first else "-A", jump.chain, *jump.match)
    for rule in rules.rules:
        if (rule.table, rule.chain) not in rules.chains and not _exists(rule):
            iptables("-t", rule.table, "-I" if rule.first else "-A", rule.chain, *rule.match)


def _comment(text: str) -> tuple[str, ...]:
    return ("-m", "comment", "--comment", f"peapod: {text}")


def _count(table: str, chain: str) -> int:
    """How many rules a chain has; -1 when there is no such chain."""
    try:
        return iptables("-t", table, "-S", chain).count("\n-A ")
    except CommandError:
        return -1


def _exists(rule: Rule) -> bool:
    try:
        iptables("-t", rule.table, "-C", rule.chain, *rule.match)
    except CommandError:
        return False
    return True
