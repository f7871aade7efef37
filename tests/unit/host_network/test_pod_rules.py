"""The filter rules of a node's pods."""

import copy
from ipaddress import IPv4Network

import pytest

from host_network.commands import CommandError
from host_network.pod_rules import ENGINE_CHAIN, MASQUERADE_CHAIN, ensure, pod_rules

CIDR = IPv4Network("10.128.0.0/16")


def test_rules_masquerade_last_and_nothing_inside() -> None:
    rules = pod_rules(IPv4Network("10.128.1.0/24"), [CIDR, IPv4Network("10.0.0.0/16")])
    own = [rule.match for rule in rules.rules if rule.chain == MASQUERADE_CHAIN]
    assert own == [
        ("-d", "10.128.1.0/24", "-j", "RETURN"),
        ("-d", "10.128.0.0/16", "-j", "RETURN"),
        ("-d", "10.0.0.0/16", "-j", "RETURN"),
        ("-j", "MASQUERADE"),
    ]
    jump = next(rule for rule in rules.rules if rule.chain == "POSTROUTING")
    assert jump.match[:2] == ("-s", "10.128.1.0/24")


class Tables:
    """What the command ``iptables`` does with chains and rules; some of it refused."""

    def __init__(self, refused: str = "") -> None:
        self._refused = refused
        self.chains: dict[tuple[str, str], list[tuple[str, ...]]] = {
            ("filter", "FORWARD"): [],
            ("nat", "POSTROUTING"): [],
        }

    def __call__(self, *arguments: str) -> str:
        _, table, command, chain, *rule = arguments
        if command == "-N":
            self.chains.setdefault((table, chain), [])
            return ""
        rules = self.chains.get((table, chain))
        if rules is None or (command in ("-A", "-I") and self._refused in rule):
            raise CommandError(f"iptables {command} {chain}: No chain/target/match by that name.")
        match command:
            case "-S":
                return f"-N {chain}\n" + "".join(f"-A {chain} {' '.join(rule)}\n" for rule in rules)
            case "-F":
                rules.clear()
            case "-A":
                rules.append(tuple(rule))
            case "-I":
                rules.insert(0, tuple(rule))
            case "-C" if tuple(rule) not in rules:
                raise CommandError("iptables: Bad rule")
        return ""


RULES = pod_rules(IPv4Network("10.128.1.0/24"), [CIDR])


def test_the_engine_s_chain_is_made_if_the_engine_has_not_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Tables()
    monkeypatch.setattr("host_network.pod_rules.iptables", tables)
    ensure(RULES)
    assert len(tables.chains["filter", ENGINE_CHAIN]) == 4
    assert tables.chains["filter", "FORWARD"] == [("-j", ENGINE_CHAIN)]
    before = copy.deepcopy(tables.chains)
    ensure(RULES)
    assert tables.chains == before


def test_a_rule_that_fails_keeps_none_of_the_others_away(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Tables(refused="-s")
    monkeypatch.setattr("host_network.pod_rules.iptables", tables)
    with pytest.raises(CommandError, match=r"-I DOCKER-USER: No chain.*; .*-A POSTROUTING: No chain"):
        ensure(RULES)
    assert len(tables.chains["filter", ENGINE_CHAIN]) == 2
    assert tables.chains["nat", MASQUERADE_CHAIN][-1] == ("-j", "MASQUERADE")
