"""What has to be done to a table, from what is in it and what should be."""

from ipaddress import IPv4Network

import pytest

from kube_proxy.iptables.chains import (
    NAT,
    NODEPORT_CONTAINER,
    NODEPORT_HOST,
    PORTALS_CONTAINER,
    PORTALS_HOST,
    PROXY_PORTS,
    SERVICES,
    USERSPACE_CHAINS,
    Chain,
    redirects,
)
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
    batches,
    plan,
    plan_change,
    plan_cleanup,
)
from kube_proxy.iptables.rules import Jump, Redirect, Reject, RejectWith, Rule
from kube_proxy.userspace_rules import Portal, RuleSetBuilder

A = Rule(Redirect(20001), "ns/a", "tcp", IPv4Network("10.0.0.1/32"), 80)
B = Rule(Redirect(20002), "ns/b", "tcp", IPv4Network("10.0.0.2/32"), 80)
A_MOVED = Rule(Redirect(20009), "ns/a", "tcp", IPv4Network("10.0.0.1/32"), 80)
THEIRS = ExistingRule(None, b"theirs")
DOCKER = ExistingRule(Rule(Jump("DOCKER"), "", dst_type_local=True))
JUMPS = (ExistingRule(PORTALS_CONTAINER.jump), ExistingRule(NODEPORT_CONTAINER.jump))
HOST_JUMPS = (ExistingRule(PORTALS_HOST.jump), ExistingRule(NODEPORT_HOST.jump))


def nat(
    container: tuple[ExistingRule, ...] = (),
    prerouting: tuple[ExistingRule, ...] = JUMPS,
    output: tuple[ExistingRule, ...] = HOST_JUMPS,
) -> ExistingChains:
    return {
        "PREROUTING": prerouting,
        "OUTPUT": output,
        PORTALS_CONTAINER.name: container,
        PORTALS_HOST.name: (),
        NODEPORT_CONTAINER.name: (),
        NODEPORT_HOST.name: (),
    }


NAME = PORTALS_CONTAINER.name


@pytest.mark.parametrize(
    ("existing", "desired", "expected"),
    [
        pytest.param((ExistingRule(B), ExistingRule(A)), (A, B), [], id="steady, whatever the order"),
        pytest.param((ExistingRule(A),), (A, B), [Append(NAME, B)], id="one more"),
        pytest.param((ExistingRule(A), ExistingRule(B)), (A,), [Delete(NAME, ExistingRule(B))], id="one less"),
        pytest.param((ExistingRule(A), ExistingRule(A)), (A,), [Delete(NAME, ExistingRule(A))], id="there twice"),
        pytest.param(
            (ExistingRule(A), ExistingRule(B)),
            (A_MOVED, B),
            [Delete(NAME, ExistingRule(A)), Append(NAME, A_MOVED)],
            id="another proxy port",
        ),
        pytest.param(
            (ExistingRule(A), THEIRS),
            (A, B),
            [FlushChain(NAME), Append(NAME, A), Append(NAME, B)],
            id="someone else's rule",
        ),
    ],
)
def test_a_chain_of_ours_gets_exactly_the_desired_rules(
    existing: tuple[ExistingRule, ...], desired: tuple[Rule, ...], expected: list[Step]
) -> None:
    assert plan("nat", {PORTALS_CONTAINER: desired}, nat(existing)) == expected


PRE = "PREROUTING"


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        pytest.param((THEIRS, JUMPS[0], DOCKER, JUMPS[1], THEIRS), [], id="theirs may stand anywhere"),
        pytest.param(
            (DOCKER,), [Insert(PRE, PORTALS_CONTAINER.jump), Append(PRE, NODEPORT_CONTAINER.jump)], id="none is there"
        ),
        pytest.param(
            (JUMPS[1], DOCKER, JUMPS[0]),
            [
                Delete(PRE, JUMPS[1]),
                Delete(PRE, JUMPS[0]),
                Insert(PRE, PORTALS_CONTAINER.jump),
                Append(PRE, NODEPORT_CONTAINER.jump),
            ],
            id="cluster IPs come before node ports",
        ),
        pytest.param(
            (*JUMPS, JUMPS[0]),
            [
                Delete(PRE, JUMPS[0]),
                Delete(PRE, JUMPS[1]),
                Delete(PRE, JUMPS[0]),
                Insert(PRE, PORTALS_CONTAINER.jump),
                Append(PRE, NODEPORT_CONTAINER.jump),
            ],
            id="doubled",
        ),
    ],
)
def test_built_in_chains_lead_to_ours(existing: tuple[ExistingRule, ...], expected: list[Step]) -> None:
    assert plan("nat", {}, nat(prerouting=existing)) == expected


def test_an_empty_table_gets_all_chains() -> None:
    steps = plan("nat", {}, {"PREROUTING": (), "OUTPUT": ()})
    created = [step.chain for step in steps if isinstance(step, CreateChain)]
    assert created == [chain.name for chain in USERSPACE_CHAINS if chain.table == "nat"]


def test_cleanup_takes_the_jumps_then_the_chains_and_nothing_else() -> None:
    steps = plan_cleanup("nat", nat((ExistingRule(A), THEIRS), prerouting=(THEIRS, *JUMPS, DOCKER)))
    assert Delete(PRE, DOCKER) not in steps
    assert [step for step in steps if isinstance(step, Delete)] == [
        *(Delete(PRE, jump) for jump in JUMPS),
        *(Delete("OUTPUT", jump) for jump in HOST_JUMPS),
    ]
    assert FlushChain(NAME) in steps
    assert [type(step) for step in steps[-4:]] == [DeleteChain] * 4
    assert plan_cleanup("nat", {"PREROUTING": (THEIRS,), "OUTPUT": (DOCKER,)}) == []


def test_a_portal_leads_pods_and_node_to_its_proxy_port() -> None:
    builder = RuleSetBuilder()
    builder.add_portal(Portal("ns/a", "TCP", ("10.0.0.1", "192.0.2.1"), 80, 30080, 20001))
    for chain in (PORTALS_CONTAINER, PORTALS_HOST):
        assert [str(rule.destination) for rule in builder.rules[chain]] == ["10.0.0.1/32", "192.0.2.1/32"]
    for chain in (NODEPORT_CONTAINER, NODEPORT_HOST):
        assert [rule.destination_port for rule in builder.rules[chain]] == [30080]
    assert redirects(rule for rules in builder.rules.values() for rule in rules) == {("ns/a", "TCP"): 20001}


def test_node_ports_follow_the_addresses_asked_for() -> None:
    builder = RuleSetBuilder([IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.0/24")])
    builder.add_portal(Portal("ns/a", "TCP", ("10.0.0.1",), 80, 30080, 20001))
    assert [str(rule.destination) for rule in builder.rules[NODEPORT_HOST]] == ["192.0.2.0/24", "198.51.100.0/24"]


def test_a_run_of_proxy_ports_takes_one_rule_whatever_the_order_of_the_services() -> None:
    builder = RuleSetBuilder()
    for protocol, port in (("TCP", 20003), ("UDP", 20004), ("TCP", 20001), ("TCP", 20009), ("TCP", 20002)):
        builder.add_portal(Portal("ns/a", protocol, ("10.0.0.1",), 80, None, port))
    refused = [
        (rule.protocol, rule.destination_port, rule.last_destination_port, rule.target)
        for rule in builder.rules[PROXY_PORTS]
    ]
    assert refused == [
        ("tcp", 20001, 20003, Reject(RejectWith.TCP_RESET)),
        ("tcp", 20009, None, Reject(RejectWith.TCP_RESET)),
        ("udp", 20004, None, Reject(RejectWith.PORT_UNREACHABLE)),
    ]
    assert PROXY_PORTS.jump.not_dnat, "redirected packets have such a port too"


SERVICE_A, SERVICE_B = (Chain(NAT, f"KUBE-SVC-{name}", (), "", ordered=True) for name in "AB")


@pytest.mark.parametrize(
    ("before", "desired", "expected"),
    [
        pytest.param({SERVICES: [A], SERVICE_A: [A]}, {SERVICES: [A], SERVICE_A: [A]}, [], id="nothing new"),
        pytest.param(
            {SERVICES: [A], SERVICE_A: [A]},
            {SERVICES: [A], SERVICE_A: [B]},
            [FlushChain("KUBE-SVC-A"), Append("KUBE-SVC-A", B)],
            id="other endpoints touch one chain",
        ),
        pytest.param(
            {SERVICES: [A], SERVICE_A: [A]},
            {SERVICES: [B], SERVICE_B: [B]},
            [
                CreateChain("KUBE-SVC-B"),
                Append("KUBE-SVC-B", B),
                FlushChain("KUBE-SERVICES"),
                Append("KUBE-SERVICES", B),
                FlushChain("KUBE-SVC-A"),
                DeleteChain("KUBE-SVC-A"),
            ],
            id="a chain stands before it is led to, and goes after",
        ),
        pytest.param(
            {PORTALS_HOST: [A, B]},
            {PORTALS_HOST: [B, A_MOVED]},
            [Delete(PORTALS_HOST.name, ExistingRule(A)), Append(PORTALS_HOST.name, A_MOVED)],
            id="where order does not count, rule by rule",
        ),
    ],
)
def test_a_change_is_planned_from_what_was_written_last(
    before: dict[Chain, list[Rule]], desired: dict[Chain, list[Rule]], expected: list[Step]
) -> None:
    assert plan_change(before, desired) == expected


def test_a_batch_never_ends_within_a_chain() -> None:
    steps = [Append(chain, A) for chain in "aaabbc"]
    assert [[step.chain for step in batch] for batch in batches(steps, 2)] == [["a", "a", "a"], ["b", "b"], ["c"]]
    assert list(batches(steps, 100)) == [steps]
