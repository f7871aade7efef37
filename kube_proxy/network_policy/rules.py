"""The policies as what the kernel's commands read: address sets, and the rules of our chains. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from kube_proxy.dataplane.messages import Policies, PolicyRule

TABLE = "mangle"
CHAIN = "KUBE-NETWORK-POLICY"
DIRECTION_CHAINS = {"egress": "KUBE-NETPOL-EGRESS", "ingress": "KUBE-NETPOL-INGRESS"}
CHAINS = (CHAIN, *DIRECTION_CHAINS.values())
JUMP = f'-A FORWARD -m comment --comment "kubernetes network policies" -j {CHAIN}'

SET_PREFIX = "KUBE-NETPOL-"
ISOLATED = {"egress": f"{SET_PREFIX}EGRESS", "ingress": f"{SET_PREFIX}INGRESS"}
NODES = f"{SET_PREFIX}NODES"
PODS = f"{SET_PREFIX}PODS"
MAX_MEMBERS = 1_048_576

HALVES = ("0.0.0.0/1", "128.0.0.0/1")
"""A set has no member 0.0.0.0/0."""


@dataclass(frozen=True)
class AddressSet:
    type: str
    """``hash:ip`` or ``hash:net``."""
    members: frozenset[str]


Sets = Mapping[str, AddressSet]


def address_sets(policies: Policies) -> dict[str, AddressSet]:
    """By their names in the kernel."""
    isolated = {ISOLATED[direction]: addresses for direction, addresses in policies.isolated.items()}
    pods = {SET_PREFIX + name: addresses for name, addresses in policies.sets.items()}
    sets = {
        name: AddressSet("hash:ip", addresses)
        for name, addresses in {**isolated, NODES: policies.nodes, PODS: policies.pods, **pods}.items()
    }
    for name, networks in policies.blocks.items():
        sets[SET_PREFIX + name] = AddressSet("hash:net", frozenset(map(_member, _split(networks))))
    return sets


def chain_rules(policies: Policies) -> list[str]:
    """The rules of our chains, as ``iptables-restore`` reads them. What returns to the first chain has passed."""
    return [
        f"-A {CHAIN} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        f"-A {CHAIN} -m set --match-set {NODES} src -j RETURN",
        *_isolating(policies, "egress", "src", "-s"),
        *_isolating(policies, "ingress", "dst", "-d"),
        *(_allowing(rule) for rule in policies.rules),
        *(f"-A {chain} -j DROP" for chain in DIRECTION_CHAINS.values()),
    ]


def _isolating(policies: Policies, direction: Literal["ingress", "egress"], pod: str, flag: str) -> Iterator[str]:
    """What is isolated, and what may be: pods of this node that the API does not know yet."""
    chain = DIRECTION_CHAINS[direction]
    yield f"-A {CHAIN} -m set --match-set {ISOLATED[direction]} {pod} -j {chain}"
    if policies.own_range and direction in policies.restricted:
        yield f"-A {CHAIN} {flag} {policies.own_range} -m set ! --match-set {PODS} {pod} -j {chain}"


def _allowing(rule: PolicyRule) -> str:
    pod, peer = ("dst", "src") if rule.direction == "ingress" else ("src", "dst")
    terms = [f"-A {DIRECTION_CHAINS[rule.direction]}"]
    if rule.protocol:
        terms.append(f"-p {rule.protocol.lower()}")
    terms.append(f"-m set --match-set {SET_PREFIX}{rule.pods} {pod}")
    if rule.peers is not None:
        terms.append(f"-m set --match-set {SET_PREFIX}{rule.peers} {peer}")
    if rule.protocol and rule.first_port:
        terms.append(f"-m {rule.protocol.lower()} --dport {rule.first_port}:{rule.last_port}")
    return " ".join([*terms, "-j RETURN"])


def _split(networks: tuple[str, ...]) -> tuple[str, ...]:
    return HALVES if networks == ("0.0.0.0/0",) else networks


def _member(network: str) -> str:
    """As ``ipset save`` prints it."""
    return network.removesuffix("/32")


def restore_input(rules: list[str], *, jump: bool) -> str:
    """Replaces our chains in one commit; ``jump``: and leads packets to them, before everything else."""
    declared = [f":{chain} - [0:0]" for chain in CHAINS]
    return "\n".join([f"*{TABLE}", *declared, *([JUMP.replace("-A", "-I", 1)] if jump else ()), *rules, "COMMIT", ""])


def parse_sets(text: str) -> dict[str, AddressSet]:
    """Our sets in the output of ``ipset save``."""
    types: dict[str, str] = {}
    members: dict[str, set[str]] = {}
    for words in map(str.split, text.splitlines()):
        if len(words) < 3 or not words[1].startswith(SET_PREFIX):
            continue
        if words[0] == "create":
            types[words[1]] = words[2]
        elif words[0] == "add":
            members.setdefault(words[1], set()).add(words[2])
    return {name: AddressSet(type, frozenset(members.get(name, ()))) for name, type in types.items()}


def before_rules(have: Sets, want: Sets) -> list[str]:
    """Lines for ``ipset restore``: all that widens or is needed by the rules; whom they isolate is for later."""
    lines = [
        f"create {name} {wanted.type} family inet maxelem {MAX_MEMBERS}"
        for name, wanted in want.items()
        if name not in have
    ]
    for name, wanted in want.items():
        present = have[name].members if name in have else frozenset()
        if name not in ISOLATED.values():
            lines += [f"add {name} {member} -exist" for member in sorted(wanted.members - present)]
        lines += [f"del {name} {member} -exist" for member in sorted(present - wanted.members)]
    return lines


def after_rules(have: Sets, want: Sets) -> list[str]:
    """Lines for ``ipset restore`` once the rules are in place: whom they isolate, and sets that none names any more."""
    lines = []
    for name in ISOLATED.values():
        present = have[name].members if name in have else frozenset()
        lines += [f"add {name} {member} -exist" for member in sorted(want[name].members - present)]
    return lines + [f"destroy {name}" for name in have if name not in want]


@dataclass(frozen=True)
class Printed:
    """What ``iptables-save`` printed of ours."""

    chains: tuple[str, ...]
    jumps: int
    lines: tuple[str, ...]
    """All of it but the counters."""


def parse_table(text: str) -> Printed:
    chains, rules, jumps = [], [], 0
    for line in text.splitlines():
        words = line.split()
        if line.startswith(":") and words[0][1:] in CHAINS:
            chains.append(words[0][1:])
        elif line.startswith("-A FORWARD ") and words[-2:] == ["-j", CHAIN]:
            jumps += 1
        elif line.startswith("-A ") and words[1] in CHAINS:
            rules.append(line)
    return Printed(tuple(chains), jumps, (*chains, str(jumps), *rules))


def removal(printed: Printed) -> str:
    """Removes our chains that there are, and the jumps to them."""
    return "\n".join([
        f"*{TABLE}", *(f":{chain} - [0:0]" for chain in printed.chains),
        *[JUMP.replace("-A", "-D", 1)] * printed.jumps, *(f"-X {chain}" for chain in printed.chains), "COMMIT", "",
    ])  # fmt: skip
