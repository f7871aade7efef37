"""A rule as the iptables commands spell it, for ``iptables-restore`` and from ``iptables-save``. Pure."""

import shlex
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Network

from kube_proxy.iptables.plan import (
    Append,
    CreateChain,
    Delete,
    DeleteChain,
    ExistingChains,
    ExistingRule,
    FlushChain,
    Insert,
    Step,
)
from kube_proxy.iptables.rules import (
    ANY,
    MARK,
    MARK_TEXT,
    Dnat,
    Jump,
    Mark,
    Masquerade,
    Recent,
    Redirect,
    Reject,
    RejectWith,
    Rule,
    Target,
    UnsupportedRule,
    check,
)

_REJECTS = {RejectWith.PORT_UNREACHABLE: "icmp-port-unreachable", RejectWith.TCP_RESET: "tcp-reset"}
_MATCHES = frozenset({"tcp", "udp", "comment", "addrtype", "conntrack", "mark", "statistic", "recent"})
_REJECT_NAMES = {name: reject_with for reject_with, name in _REJECTS.items()}


def restore_input(table: str, steps: list[Step]) -> str:
    """What ``iptables-restore --noflush`` makes one commit of."""
    return "\n".join([f"*{table}", *map(_line, steps), "COMMIT", ""])


def parse_save(text: str) -> ExistingChains:
    """The chains in ``iptables-save``'s output for one table."""
    chains: dict[str, list[ExistingRule]] = {}
    for line in text.splitlines():
        if line.startswith(":"):
            chains[line[1:].split(" ", 1)[0]] = []
        elif line.startswith("-A "):
            _, chain, rule = line.split(" ", 2)
            chains[chain].append(ExistingRule(parse(rule), rule.encode()))
    return chains


def rules_part(text: str) -> str:
    """The rules in ``iptables-save``'s output for one table, without its counters and times."""
    return text[text.find("\n-A ") : text.rfind("\nCOMMIT")]


def spell(rule: Rule) -> str:
    """The rule's matches and its target.

    Raises:
        UnsupportedRule
    """
    check(rule)
    return " ".join(_words(rule))


@lru_cache(maxsize=1 << 18)  # most rules are read again the next time
def parse(text: str) -> Rule | None:
    """The rule that the command prints as ``text``; None if it is of a form that we never write."""
    plain = '"' not in text and "\\" not in text and "'" not in text
    try:
        return _parse(iter(text.split() if plain else shlex.split(text)))
    except (ValueError, KeyError, StopIteration):
        return None


def _line(step: Step) -> str:
    match step:
        case CreateChain(chain):
            return f"-N {chain}"
        case FlushChain(chain):
            return f"-F {chain}"
        case DeleteChain(chain):
            return f"-X {chain}"
        case Append(chain, rule):
            return f"-A {chain} {spell(rule)}"
        case Insert(chain, rule):
            return f"-I {chain} {spell(rule)}"
        case Delete(chain, existing):
            assert existing.rule is not None
            return f"-D {chain} {spell(existing.rule)}"


def _words(rule: Rule) -> Iterator[str]:
    if rule.not_source is not None:
        yield f"! -s {rule.not_source}"
    if rule.source != ANY:
        yield f"-s {rule.source}"
    if rule.destination != ANY:
        yield f"-d {rule.destination}"
    if rule.protocol:
        yield f"-p {rule.protocol}"
    if rule.destination_port is not None:
        last = "" if rule.last_destination_port is None else f":{rule.last_destination_port}"
        yield f"-m {rule.protocol} --dport {rule.destination_port}{last}"
    if rule.comment:
        yield f"-m comment --comment {_quoted(rule.comment)}"
    if rule.dst_type_local:
        yield "-m addrtype --dst-type LOCAL"
    if rule.src_type_local:
        yield "-m addrtype --src-type LOCAL"
    if rule.not_dnat:
        yield "-m conntrack ! --ctstate DNAT"
    if rule.mark:
        yield f"-m mark --mark {MARK_TEXT}"
    if rule.probability != 1:
        if 1 / round(1 / rule.probability) != rule.probability:
            raise UnsupportedRule(f"{rule}: the probability is not one of n")
        yield f"-m statistic --mode random --probability {rule.probability:.11f}"
    if recent := rule.recent:
        action = "--set" if recent.seconds is None else f"--rcheck --seconds {recent.seconds} --reap"
        yield f"-m recent {action} --name {recent.name} --mask 255.255.255.255 --rsource"
    yield _target(rule.target)


def _target(target: Target) -> str:
    match target:
        case Redirect(port):
            return f"-j REDIRECT --to-ports {port}"
        case Reject(reject_with):
            return f"-j REJECT --reject-with {_REJECTS[reject_with]}"
        case Dnat(address, port):
            return f"-j DNAT --to-destination {address}:{port}"
        case Masquerade():
            return "-j MASQUERADE"
        case Mark():
            return f"-j MARK --set-xmark {MARK_TEXT}"
        case Jump(chain):
            return f"-j {chain}"


def _quoted(comment: str) -> str:
    escaped = comment.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_network = lru_cache(maxsize=1 << 16)(IPv4Network)


def _parse(words: Iterator[str]) -> Rule | None:
    fields: dict[str, object] = {}
    seconds: int | None = None
    for word in words:
        match word:
            case "!":
                match next(words), next(words):
                    case "-s", network:
                        fields["not_source"] = _network(network)
                    case "--ctstate", "DNAT":
                        fields["not_dnat"] = True
                    case _:
                        return None
            case "-s":
                fields["source"] = _network(next(words))
            case "-d":
                fields["destination"] = _network(next(words))
            case "-p":
                fields["protocol"] = next(words)
            case "-m":
                if next(words) not in _MATCHES:
                    return None
            case "--dport":
                first, _, last = next(words).partition(":")
                fields["destination_port"] = int(first)
                fields["last_destination_port"] = int(last) if last else None
            case "--comment":
                fields["comment"] = next(words)
            case "--dst-type" | "--src-type":
                if next(words) != "LOCAL":
                    return None
                fields["dst_type_local" if word == "--dst-type" else "src_type_local"] = True
            case "--mark":
                if int(next(words).split("/")[0], 16) != MARK:
                    return None
                fields["mark"] = True
            case "--mode":
                if next(words) != "random":
                    return None
            case "--probability":
                fields["probability"] = 1 / round(1 / float(next(words)))  # iptables rounds what it shows
            case "--set" | "--rcheck" | "--reap" | "--rsource":
                pass
            case "--seconds":
                seconds = int(next(words))
            case "--name":
                fields["recent"] = next(words)
            case "--mask":
                if next(words) != "255.255.255.255":
                    return None
            case "-j":
                target = _parse_target(next(words), words)
                if target is None or next(words, None) is not None:
                    return None
                fields["target"] = target
            case _:
                return None
    if "recent" in fields:
        fields["recent"] = Recent(str(fields["recent"]), seconds)
    return Rule(**({"comment": ""} | fields))  # type: ignore[arg-type]


def _parse_target(name: str, words: Iterator[str]) -> Target | None:
    match name:
        case "REDIRECT":
            return Redirect(int(next(words))) if next(words) == "--to-ports" else None
        case "REJECT":
            return Reject(_REJECT_NAMES[next(words)]) if next(words) == "--reject-with" else None
        case "DNAT":
            if next(words) != "--to-destination":
                return None
            address, _, port = next(words).partition(":")
            return Dnat(address, int(port))
        case "MASQUERADE":
            return Masquerade()
        case "MARK":
            return Mark() if next(words) == "--set-xmark" and next(words) == MARK_TEXT else None
        case _:
            return Jump(name)
