"""What policies allow, by the plan's verdicts, against an evaluator that reads the objects as Kubernetes' text says."""

import ipaddress
import random
from collections.abc import Iterable, Sequence

import pytest

from apimachinery import meta
from apimachinery.selectors import from_label_selector
from apimachinery.types import core_v1, meta_v1, networking_v1
from kube_proxy.dataplane.guard import Judge
from kube_proxy.dataplane.messages import Policies
from kube_proxy.network_policy.plan import block_networks, member, node_addresses, plan

Policy = networking_v1.NetworkPolicy
Peer = networking_v1.NetworkPolicyPeer
Port = networking_v1.NetworkPolicyPort
Ingress = networking_v1.NetworkPolicyIngressRule
Egress = networking_v1.NetworkPolicyEgressRule
Selector = meta_v1.LabelSelector
Block = networking_v1.IPBlock

SPACES = "xyz"
NAMES = "abc"
PORTS = (("TCP", 80), ("TCP", 81), ("UDP", 80), ("UDP", 81))
OUTSIDE = "192.0.2.7"
NODE = core_v1.Node(
    metadata=meta_v1.ObjectMeta(name="node-1"),
    spec=core_v1.NodeSpec(pod_cidr="10.244.0.0/16"),
    status=core_v1.NodeStatus(addresses=[core_v1.NodeAddress(type="InternalIP", address="100.64.0.2")]),
)


def address(space: str, name: str) -> str:
    return f"10.244.{SPACES.index(space)}.{10 + NAMES.index(name)}"


def pod(space: str, name: str, **changes: object) -> core_v1.Pod:
    named = [core_v1.ContainerPort(name=f"serve-{n}-{p.lower()}", protocol=p, container_port=n) for p, n in PORTS]
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name=name, namespace=space, labels={"pod": name}),
        spec=core_v1.PodSpec(
            node_name="node-1",
            host_network=bool(changes.get("host_network")),
            containers=[core_v1.Container(name="c", ports=named)],
        ),
        status=core_v1.PodStatus(
            phase=str(changes.get("phase", "Running")), pod_ip=str(changes.get("ip", address(space, name)))
        ),
    )


def namespace(name: str) -> core_v1.Namespace:
    return core_v1.Namespace(metadata=meta_v1.ObjectMeta(name=name, labels={"ns": name}))


PODS = [pod(space, name) for space in SPACES for name in NAMES]
NAMESPACES = [namespace(space) for space in SPACES]


def policy(
    space: str = "x",
    pods: dict[str, str] | None = None,
    *,
    ingress: Sequence[Ingress] | None = None,
    egress: Sequence[Egress] | None = None,
    name: str = "p",
) -> Policy:
    types = ["Ingress"] * (ingress is not None) + ["Egress"] * (egress is not None)
    return Policy(
        metadata=meta_v1.ObjectMeta(name=name, namespace=space),
        spec=networking_v1.NetworkPolicySpec(
            pod_selector=Selector(match_labels=pods),
            ingress=None if ingress is None else [*ingress],
            egress=None if egress is None else [*egress],
            policy_types=types,
        ),
    )


def planned(policies: Sequence[Policy], pods: Iterable[core_v1.Pod] = PODS) -> Policies:
    result = plan(policies, [known for pod in pods if (known := member(pod))], NAMESPACES, [NODE])
    assert result is not None
    return result


# -- the evaluator: one connection, straight from the objects


def expected(
    policies: Sequence[Policy], client: core_v1.Pod | str, server: core_v1.Pod, protocol: str, port: int
) -> bool:
    if client is server:
        return True
    if not isinstance(client, str):
        selecting = [p for p in policies if selects(p, client) and "Egress" in (p.spec.policy_types or ())]
        rules = [(rule.to, rule.ports, p) for p in selecting for rule in p.spec.egress or ()]
        if selecting and not any(passes(*rule, server, server, protocol, port) for rule in rules):
            return False
    selecting = [p for p in policies if selects(p, server) and "Ingress" in (p.spec.policy_types or ())]
    rules = [(rule.from_, rule.ports, p) for p in selecting for rule in p.spec.ingress or ()]
    return not selecting or any(passes(*rule, client, server, protocol, port) for rule in rules)


def selects(policy: Policy, pod: core_v1.Pod) -> bool:
    selector = from_label_selector(policy.spec.pod_selector)
    return meta.namespace_of(pod) == meta.namespace_of(policy) and selector.matches(pod.metadata.labels or {})


def passes(
    peers: Sequence[Peer] | None,
    ports: Sequence[Port] | None,
    policy: Policy,
    peer: core_v1.Pod | str,
    server: core_v1.Pod,
    protocol: str,
    port: int,
) -> bool:
    if peers and not any(is_peer(candidate, policy, peer) for candidate in peers):
        return False
    return not ports or any(is_port(candidate, server, protocol, port) for candidate in ports)


def is_peer(candidate: Peer, policy: Policy, peer: core_v1.Pod | str) -> bool:
    if candidate.ip_block:
        ip = ipaddress.ip_address(peer if isinstance(peer, str) else peer.status.pod_ip or "")
        holes = candidate.ip_block.except_ or ()
        return ip in ipaddress.ip_network(candidate.ip_block.cidr) and not any(
            ip in ipaddress.ip_network(hole) for hole in holes
        )
    if isinstance(peer, str):
        return False
    space = meta.namespace_of(peer)
    if candidate.namespace_selector is None:
        if space != meta.namespace_of(policy):
            return False
    elif not from_label_selector(candidate.namespace_selector).matches({"ns": space}):
        return False
    if candidate.pod_selector is None:
        return True
    return from_label_selector(candidate.pod_selector).matches(peer.metadata.labels or {})


def is_port(candidate: Port, server: core_v1.Pod, protocol: str, port: int) -> bool:
    if (candidate.protocol or "TCP") != protocol:
        return False
    if isinstance(candidate.port, str):
        container = server.spec.containers[0]
        return any(
            p.name == candidate.port and p.protocol == protocol and p.container_port == port
            for p in container.ports or ()
        )
    return candidate.port is None or candidate.port <= port <= (candidate.end_port or candidate.port)


def check(policies: Sequence[Policy], pods: Sequence[core_v1.Pod] = PODS) -> None:
    judge = Judge(planned(policies, pods))
    for client in [*pods, OUTSIDE]:
        source = client if isinstance(client, str) else client.status.pod_ip or ""
        for server in pods:
            for protocol, port in PORTS:
                want = expected(policies, client, server, protocol, port)
                assert judge.allows(protocol, source, (server.status.pod_ip or "", port)) is want, (
                    f"{source} -> {server.status.pod_ip} {protocol}/{port}: expected {want}"
                )


POD_B = Peer(pod_selector=Selector(match_labels={"pod": "b"}))
NAMESPACE_Y = Peer(namespace_selector=Selector(match_labels={"ns": "y"}))
B_IN_Y = Peer(pod_selector=Selector(match_labels={"pod": "b"}), namespace_selector=Selector(match_labels={"ns": "y"}))
NOT_X = Peer(
    namespace_selector=Selector(
        match_expressions=[meta_v1.LabelSelectorRequirement(key="ns", operator="NotIn", values=["x"])]
    )
)
EVERYBODY = Peer(namespace_selector=Selector())
MOST_OF_Y = Peer(ip_block=Block(cidr="10.244.1.0/24", except_=["10.244.1.11/32"]))
PORT_80, PORT_81 = Port(protocol="TCP", port=80), Port(protocol="TCP", port=81)

TABLE = {
    "deny all ingress": [policy(ingress=[])],
    "deny all egress": [policy(egress=[])],
    "deny both": [policy(ingress=[], egress=[])],
    "allow all ingress": [policy(ingress=[Ingress()]), policy(ingress=[], name="q")],
    "allow all egress": [policy(egress=[Egress()])],
    "pods of the same namespace": [policy(pods={"pod": "a"}, ingress=[Ingress(from_=[POD_B])])],
    "a namespace": [policy(pods={"pod": "a"}, ingress=[Ingress(from_=[NAMESPACE_Y])])],
    "pods of a namespace": [policy(pods={"pod": "a"}, ingress=[Ingress(from_=[B_IN_Y])])],
    "pods or a namespace": [policy(pods={"pod": "a"}, ingress=[Ingress(from_=[POD_B, NAMESPACE_Y])])],
    "namespaces by expression": [policy(ingress=[Ingress(from_=[NOT_X])])],
    "every namespace, one port": [policy(ingress=[Ingress(from_=[EVERYBODY], ports=[PORT_80])])],
    "two policies add up": [
        policy(ingress=[Ingress(ports=[PORT_80])]),
        policy(ingress=[Ingress(ports=[PORT_81])], name="q"),
    ],
    "a port of either protocol": [policy(ingress=[Ingress(ports=[Port(protocol="UDP", port=80)])])],
    "all ports of a protocol": [policy(ingress=[Ingress(ports=[Port(protocol="UDP")])])],
    "a range of ports": [policy(ingress=[Ingress(ports=[Port(protocol="TCP", port=79, end_port=80)])])],
    "a named port": [policy(ingress=[Ingress(ports=[Port(protocol="TCP", port="serve-81-tcp")])])],
    "a named port for egress": [
        policy(egress=[Egress(to=[NAMESPACE_Y], ports=[Port(protocol="UDP", port="serve-80-udp")])])
    ],
    "a named port for egress to everybody": [policy(egress=[Egress(ports=[Port(port="serve-80-tcp")])])],
    "a named port within a block": [policy(egress=[Egress(to=[MOST_OF_Y], ports=[Port(port="serve-80-tcp")])])],
    "a named port that nobody has": [policy(ingress=[Ingress(ports=[Port(protocol="TCP", port="nothing")])])],
    "a block with an exception": [policy(ingress=[Ingress(from_=[MOST_OF_Y])])],
    "everything outside": [
        policy(ingress=[Ingress(from_=[Peer(ip_block=Block(cidr="0.0.0.0/0", except_=["10.0.0.0/8"]))])])
    ],
    "an exception that another block allows": [
        policy(ingress=[Ingress(from_=[MOST_OF_Y, Peer(ip_block=Block(cidr="10.244.1.11/32"))])])
    ],
    "egress to a block": [policy(pods={"pod": "a"}, egress=[Egress(to=[MOST_OF_Y])])],
    "ingress and egress": [
        policy(ingress=[Ingress(from_=[NAMESPACE_Y])]),
        policy("y", {"pod": "b"}, egress=[Egress(to=[NAMESPACE_Y])]),
    ],
}


@pytest.mark.parametrize("name", TABLE)
def test_the_plan_allows_what_the_policies_say(name: str) -> None:
    check(TABLE[name])


@pytest.mark.parametrize("seed", range(40))
def test_the_plan_allows_what_any_mixture_of_policies_says(seed: int) -> None:
    dice = random.Random(seed)
    every_peer = [POD_B, NAMESPACE_Y, B_IN_Y, NOT_X, EVERYBODY, MOST_OF_Y]
    every_port = [PORT_80, Port(protocol="UDP"), Port(port="serve-81-tcp"), Port(protocol="UDP", port=79, end_port=81)]

    def some(choices: Sequence[object]) -> list[object] | None:
        return dice.sample(choices, dice.randint(0, 2)) or None

    policies = []
    for number in range(dice.randint(1, 5)):
        ingress = [Ingress(from_=some(every_peer), ports=some(every_port)) for _ in range(dice.randint(0, 2))]  # type: ignore[arg-type]
        egress = [Egress(to=some(every_peer), ports=some(every_port)) for _ in range(dice.randint(0, 2))]  # type: ignore[arg-type]
        which = dice.choice([(ingress, None), (None, egress), (ingress, egress)])
        pods = dice.choice([None, {"pod": "a"}, {"pod": "b"}])
        policies.append(policy(dice.choice(SPACES), pods, ingress=which[0], egress=which[1], name=f"p{number}"))
    check(policies)


def test_without_policies_there_is_nothing_to_enforce() -> None:
    assert plan([], [], NAMESPACES, [NODE]) is None


def test_pods_of_the_host_network_and_ended_pods_are_not_selected() -> None:
    others = [pod("x", "a", host_network=True, ip="100.64.0.2"), pod("x", "b", phase="Succeeded"), pod("x", "c", ip="")]
    assert planned([policy(ingress=[])], others).isolated["ingress"] == frozenset()


@pytest.mark.parametrize("ip", ["10.244.0.1; flush", "fd00::1", "192.0.2.1", "100.64.0.2", "10.244.0.1\nflush"])
def test_an_address_that_the_pods_node_cannot_have_given_it_is_left_out(ip: str) -> None:
    assert planned([policy(ingress=[])], [pod("x", "a", ip=ip)]).isolated["ingress"] == frozenset()


def test_the_plan_of_a_node_knows_its_range_and_the_directions_of_policies() -> None:
    policies = plan([policy(egress=[])], [m for p in PODS if (m := member(p))], NAMESPACES, [NODE], "node-1")
    assert policies is not None
    assert (policies.own_range, policies.restricted, len(policies.pods)) == ("10.244.0.0/16", ("egress",), len(PODS))
    judge = Judge(policies)
    assert not judge.allows("TCP", "10.244.9.9", (address("y", "a"), 80))
    assert judge.allows("TCP", address("y", "a"), ("10.244.9.9", 80))


def test_a_node_reaches_isolated_pods() -> None:
    judge = Judge(planned([policy(ingress=[])]))
    for client in node_addresses([NODE]):
        assert judge.allows("TCP", client, (address("x", "a"), 80))
    assert not judge.allows("TCP", OUTSIDE, (address("x", "a"), 80))


def test_a_pod_that_comes_or_goes_changes_sets_and_no_rule() -> None:
    policies = [policy(pods={"pod": "a"}, ingress=[Ingress(from_=[NAMESPACE_Y])])]
    before, after = planned(policies), planned(policies, PODS[:-4])
    assert before.rules == after.rules
    assert before.sets.keys() == after.sets.keys()
    assert before.sets != after.sets


def test_policies_that_select_the_same_pods_share_sets_and_equal_rules() -> None:
    twice = planned([policy(ingress=[Ingress(from_=[POD_B])], name=name) for name in ("p", "q")])
    assert (len(twice.rules), len(twice.sets)) == (1, 2)


def test_a_block_of_ipv6_has_no_members() -> None:
    assert block_networks(Block(cidr="fd00::/8")) == ()
