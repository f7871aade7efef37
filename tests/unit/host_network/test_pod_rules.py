"""The filter rules of a node's pods."""

from ipaddress import IPv4Network

from host_network.pod_rules import MASQUERADE_CHAIN, pod_rules

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
