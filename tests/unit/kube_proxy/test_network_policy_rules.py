"""The kernel's rules and sets as text, the choice of backends, and what it costs."""

import dataclasses

from msgspec.structs import replace

from kube_proxy.dataplane import guard
from kube_proxy.dataplane.balancer import Balancer
from kube_proxy.dataplane.guard import Gate, Judge
from kube_proxy.dataplane.messages import Policies, PolicyRule
from kube_proxy.network_policy import rules
from kube_proxy.network_policy.rules import AddressSet, address_sets, after_rules, before_rules, chain_rules

A, B, CLIENT, OTHER = ("10.244.0.2", 80), ("10.244.0.3", 80), "10.244.1.2", "10.244.1.3"
NOBODY = Policies({"ingress": frozenset(), "egress": frozenset()}, frozenset(), {}, {}, ())
ONLY_CLIENT_TO_A = Policies(
    isolated={"ingress": frozenset((A[0], B[0])), "egress": frozenset()},
    nodes=frozenset(("100.64.0.2",)),
    sets={"a": frozenset((A[0],)), "client": frozenset((CLIENT,))},
    blocks={"all": ("0.0.0.0/0",), "one": ("192.0.2.1/32",)},
    rules=(PolicyRule("ingress", "a", "client", "TCP", 80, 90),),
)


def balancer(policies: Policies | None, seconds: int | None = None) -> Balancer:
    gate = Gate()
    gate.judge = Judge(policies) if policies else None
    made = Balancer(seconds, dice=lambda: 0.999, gate=gate)
    made.replace([A, B])
    return made


def test_only_backends_that_policies_allow_are_picked() -> None:
    assert balancer(None).pick(CLIENT, 0.0) == B
    assert balancer(ONLY_CLIENT_TO_A).pick(CLIENT, 0.0) == A
    assert balancer(ONLY_CLIENT_TO_A).pick(CLIENT, 0.0, [A]) is None
    assert balancer(ONLY_CLIENT_TO_A).pick(OTHER, 0.0) is None


def test_affinity_does_not_outlive_the_permission() -> None:
    gate = Gate()
    sticky = Balancer(60, dice=lambda: 0.999, gate=gate)
    sticky.replace([A, B])
    assert sticky.pick(CLIENT, 0.0) == B
    gate.judge = Judge(ONLY_CLIENT_TO_A)
    assert sticky.pick(CLIENT, 1.0) == A
    assert sticky.pick(CLIENT, 2.0) == A
    assert sticky.pick(OTHER, 2.0) is None
    assert [choice[0] for choice in sticky.take_changes() if choice[1] is None] == [OTHER]


def test_verdicts_are_bounded() -> None:
    judge = Judge(ONLY_CLIENT_TO_A)
    for number in range(guard.MAX_VERDICTS + 10):
        judge.allows("TCP", f"192.{number >> 16}.{number >> 8 & 255}.{number & 255}", A)
    assert len(judge._verdicts) <= guard.MAX_VERDICTS


def test_rules_let_replies_and_nodes_through_and_drop_the_rest() -> None:
    assert chain_rules(ONLY_CLIENT_TO_A) == [
        "-A KUBE-NETWORK-POLICY -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        "-A KUBE-NETWORK-POLICY -m set --match-set KUBE-NETPOL-NODES src -j RETURN",
        "-A KUBE-NETWORK-POLICY -m set --match-set KUBE-NETPOL-EGRESS src -j KUBE-NETPOL-EGRESS",
        "-A KUBE-NETWORK-POLICY -m set --match-set KUBE-NETPOL-INGRESS dst -j KUBE-NETPOL-INGRESS",
        "-A KUBE-NETPOL-INGRESS -p tcp -m set --match-set KUBE-NETPOL-a dst -m set --match-set KUBE-NETPOL-client src "
        "-m tcp --dport 80:90 -j RETURN",
        "-A KUBE-NETPOL-EGRESS -j DROP",
        "-A KUBE-NETPOL-INGRESS -j DROP",
    ]


def test_unknown_pods_of_this_node_are_isolated_where_there_are_policies() -> None:
    here = replace(ONLY_CLIENT_TO_A, own_range="10.244.1.0/24", pods=frozenset((CLIENT,)), restricted=("egress",))
    (rule,) = [rule for rule in chain_rules(here) if "! --match-set" in rule]
    assert rule == (
        "-A KUBE-NETWORK-POLICY -s 10.244.1.0/24 -m set ! --match-set KUBE-NETPOL-PODS src -j KUBE-NETPOL-EGRESS"
    )
    judge = Judge(here)
    server = ("10.244.9.9", 80)
    assert [judge.allows("TCP", client, server) for client in (CLIENT, OTHER, "10.244.2.9")] == [True, False, True]


def test_a_set_of_everything_is_made_of_halves() -> None:
    sets = address_sets(ONLY_CLIENT_TO_A)
    assert sets["KUBE-NETPOL-all"] == AddressSet("hash:net", frozenset(("0.0.0.0/1", "128.0.0.0/1")))
    assert sets["KUBE-NETPOL-one"].members == {"192.0.2.1"}


def test_pods_are_isolated_after_the_rules_and_released_before_them() -> None:
    empty, full = address_sets(NOBODY), address_sets(ONLY_CLIENT_TO_A)
    assert not [line for line in before_rules(empty, full) if "add KUBE-NETPOL-INGRESS" in line]
    assert f"add KUBE-NETPOL-INGRESS {A[0]} -exist" in after_rules(empty, full)
    assert f"del KUBE-NETPOL-INGRESS {A[0]} -exist" in before_rules(full, empty)
    assert "destroy KUBE-NETPOL-client" in after_rules(full, empty)


def test_only_members_that_differ_are_written() -> None:
    full = address_sets(ONLY_CLIENT_TO_A)
    name = "KUBE-NETPOL-client"
    more = {**full, name: dataclasses.replace(full[name], members=frozenset((CLIENT, OTHER)))}
    assert before_rules(full, more) == [f"add {name} {OTHER} -exist"]
    assert after_rules(full, more) == []


def test_what_the_commands_print_is_read_back_without_what_belongs_to_others() -> None:
    saved = (
        "create KUBE-NETPOL-a hash:ip family inet hashsize 1024 maxelem 1048576\nadd KUBE-NETPOL-a 10.244.0.2\n"
        "create KUBE-NETPOL-b hash:net family inet\ncreate other hash:ip family inet\nadd other 192.0.2.1\n"
    )
    assert rules.parse_sets(saved) == {
        "KUBE-NETPOL-a": AddressSet("hash:ip", frozenset(("10.244.0.2",))),
        "KUBE-NETPOL-b": AddressSet("hash:net", frozenset()),
    }
    printed = rules.parse_table(
        "*mangle\n:FORWARD ACCEPT [7:9]\n:KUBE-NETWORK-POLICY - [0:0]\n:OTHER - [0:0]\n"
        "-A FORWARD -j OTHER\n-A FORWARD -m comment --comment x -j KUBE-NETWORK-POLICY\n-A OTHER -j DROP\nCOMMIT\n"
    )
    assert (printed.chains, printed.jumps) == (("KUBE-NETWORK-POLICY",), 1)
