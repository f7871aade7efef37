"""The few packet filter rules that pods need, in the back end that the container engine uses.

Rules are declared as data, and ``ensure`` puts them in place. Rules of others are never touched. Blocks: call it in a
thread.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network

from host_network.commands import CommandError, iptables

MASQUERADE_CHAIN = "PEAPOD-POSTROUTING"

ENGINE_CHAIN = "DOCKER-USER"
"""The engine's chain for the rules of others, which it passes before its own."""


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
    shared: tuple[tuple[str, str], ...]
    """Chains that others use too, made if they are missing."""
    rules: tuple[Rule, ...]


def pod_rules(pod_cidr: IPv4Network, inside: Sequence[IPv4Network]) -> Rules:
    """Forward what comes from or goes to pods; masquerade pods only towards what is not ``inside`` the cluster.

    Where Docker switched ip_forward on itself, the policy of FORWARD is DROP: only an ACCEPT in DOCKER-USER helps. The
    engine makes that chain when it starts, and never again: after a restart of the machine's firewall it is missing.
    """
    clusters = tuple(dict.fromkeys([pod_cidr, *inside]))
    accepts = [
        Rule("filter", ENGINE_CHAIN, (flag, str(cidr), *_comment("pods"), "-j", "ACCEPT"), first=True)
        for cidr in clusters
        for flag in ("-s", "-d")
    ]
    engine_jump = Rule("filter", "FORWARD", ("-j", ENGINE_CHAIN), first=True)
    returns = [Rule("nat", MASQUERADE_CHAIN, ("-d", str(cidr), "-j", "RETURN")) for cidr in clusters]
    masquerade = Rule("nat", MASQUERADE_CHAIN, ("-j", "MASQUERADE"))
    jump = Rule("nat", "POSTROUTING", ("-s", str(pod_cidr), *_comment("pods to the outside"), "-j", MASQUERADE_CHAIN))
    return Rules(
        chains=(("nat", MASQUERADE_CHAIN),),
        shared=(("filter", ENGINE_CHAIN),),
        rules=(engine_jump, *accepts, *returns, masquerade, jump),
    )


def ensure(rules: Rules) -> None:
    """Make sure that the rules are there, in this order within our own chains.

    A rule that cannot be made keeps none of the others from being made.

    Raises:
        CommandError: of all that failed.
    """
    failures = []
    for step in _steps(rules):
        try:
            step()
        except CommandError as exc:
            failures.append(str(exc))
    if failures:
        raise CommandError("; ".join(failures))


def _steps(rules: Rules) -> Iterator[Callable[[], None]]:
    for table, chain in rules.shared:
        yield partial(_ensure_chain, table, chain)
    for table, chain in rules.chains:
        own = [rule for rule in rules.rules if (rule.table, rule.chain) == (table, chain)]
        yield partial(_ensure_own_chain, table, chain, own)
    for rule in rules.rules:
        if (rule.table, rule.chain) not in rules.chains:
            yield partial(_ensure_rule, rule)


def _ensure_chain(table: str, chain: str) -> None:
    if _count(table, chain) < 0:
        iptables("-t", table, "-N", chain)


def _ensure_own_chain(table: str, chain: str, own: Sequence[Rule]) -> None:
    """With exactly these rules."""
    if _count(table, chain) == len(own) and all(map(_exists, own)):
        return
    with suppress(CommandError):  # it exists
        iptables("-t", table, "-N", chain)
    iptables("-t", table, "-F", chain)
    for rule in own:
        iptables("-t", table, "-A", chain, *rule.match)


def _ensure_rule(rule: Rule) -> None:
    if not _exists(rule):
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
