"""Every field and target of a rule: a back end either writes it whole or refuses it."""

import dataclasses
import typing
from ipaddress import IPv4Network

import pytest

from kube_proxy.iptables import entry, text
from kube_proxy.iptables.rules import (
    COMMENT_SIZE,
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
)

PLAIN = Rule(Redirect(20001), "ns/a", "tcp")
FIELDS: dict[str, object] = {
    "target": Jump("KUBE-SERVICES"),
    "comment": "c" * COMMENT_SIZE,
    "protocol": "udp",
    "destination": IPv4Network("10.0.0.1/32"),
    "destination_port": 80,
    "dst_type_local": True,
    "source": IPv4Network("10.0.0.0/8"),
    "not_source": IPv4Network("10.0.0.0/8"),
    "mark": True,
    "probability": 1 / 3,
    "recent": Recent("KUBE-SEP-A", 10),
    "src_type_local": True,
    "last_destination_port": 90,
    "not_dnat": True,
}
TARGETS = (
    Redirect(1),
    Reject(RejectWith.TCP_RESET),
    Jump("KUBE-SERVICES"),
    Dnat("10.1.0.1", 80),
    Mark(),
    Masquerade(),
)
NOT_OF_LIBIPTC = {"mark", "probability", "recent", "src_type_local"}


def through_text(rule: Rule) -> Rule | None:
    return text.parse(text.spell(rule))


def through_bytes(rule: Rule) -> Rule | None:
    """As the kernel returns it, where a jump has an offset instead of a name."""
    raw = bytearray(entry.encode(rule))
    if isinstance(rule.target, Jump):
        name_at = int.from_bytes(raw[88:90], "little") + 2
        raw[name_at : name_at + 29] = bytes(29)
    names = {Redirect: "REDIRECT", Reject: "REJECT"}
    return entry.decode(bytes(raw), names.get(type(rule.target)) or getattr(rule.target, "chain", ""))


def test_the_tables_below_are_complete() -> None:
    assert list(FIELDS) == [field.name for field in dataclasses.fields(Rule)]
    assert {type(target) for target in TARGETS} == set(typing.get_args(Target))


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_vanishes(field: str) -> None:
    needed = {"destination_port": 80} if field == "last_destination_port" else {}
    rule = dataclasses.replace(PLAIN, **{field: FIELDS[field]}, **needed)  # type: ignore[arg-type]
    assert rule != PLAIN
    assert through_text(rule) == rule
    if field in NOT_OF_LIBIPTC:
        with pytest.raises(UnsupportedRule):
            entry.encode(rule)
    else:
        assert through_bytes(rule) == rule


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: type(target).__name__)
def test_no_target_vanishes(target: Target) -> None:
    rule = dataclasses.replace(PLAIN, target=target)
    assert through_text(rule) == rule
    if isinstance(target, Dnat | Mark | Masquerade):
        with pytest.raises(UnsupportedRule):
            entry.encode(rule)
    else:
        assert through_bytes(rule) == rule


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(Rule(Redirect(1), "", None, destination_port=80), id="a port of no protocol"),
        pytest.param(Rule(Redirect(1), "", "tcp", last_destination_port=80), id="a range without a first port"),
        pytest.param(Rule(Redirect(1), "", "tcp", destination_port=80, last_destination_port=80), id="a range of one"),
        pytest.param(
            Rule(Redirect(1), "", source=IPv4Network("10.0.0.0/8"), not_source=IPv4Network("10.1.0.0/16")),
            id="two sources",
        ),
        pytest.param(Rule(Redirect(1), "c" * (COMMENT_SIZE + 1)), id="a comment that would be cut"),
        pytest.param(Rule(Redirect(1), "", probability=0.4), id="a probability that is not one of n"),
    ],
)
def test_what_means_nothing_is_refused_by_both(rule: Rule) -> None:
    for encode in (text.spell, entry.encode):
        with pytest.raises(UnsupportedRule):
            encode(rule)
