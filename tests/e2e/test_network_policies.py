"""Kubernetes' own reachability matrix: three namespaces of three pods each on two nodes, policy after policy.

Each policy is probed from every pod to every pod, at the pods' addresses and through a service of each pod, which is
the way through the proxy; the truth table beside the policy says what should be reached.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import Lab, eventually, sleeper
from tests.e2e.reachability import PORTS, Attempt, Peer, Truth, difference, reached, serving, table

SPACES = ("netpol-x", "netpol-y", "netpol-z")
NAMES = ("a", "b", "c")
X = SPACES[0]
IN_EFFECT_WITHIN = 1.0
"""Seconds from the write to its effect."""


def space(peer: str) -> str:
    return peer.split("/")[0]


def name(peer: str) -> str:
    return peer.split("/")[1]


@dataclass
class Matrix:
    lab: Lab
    peers: dict[str, Peer]

    @property
    def attempts(self) -> list[Attempt]:
        return [(*pair, *port) for pair in product(self.peers, self.peers) for port in PORTS]

    def shows(self, truth: Truth, *, within: float = IN_EFFECT_WITHIN) -> None:
        """Wait until exactly the true attempts succeed, then that it stays so, both ways."""
        expected = table(self.attempts, truth)
        written = time.monotonic()
        for through_services in (False, True):
            while True:
                began = time.monotonic()
                actual = reached(self.attempts, self.peers, through_services=through_services)
                if actual == expected:
                    break
                way = "services" if through_services else "addresses"
                assert began - written < within, f"through {way}: {difference(expected, actual)}"

    def apply(self, policies: list[dict[str, Any]]) -> None:
        self.lab.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": policies}))

    def clear(self) -> None:
        for namespace in SPACES:
            self.lab.kubectl("delete", "networkpolicy", "--all", "-n", namespace)


@pytest.fixture(scope="module")
def whole(lab: Lab) -> Iterator[Matrix]:
    """The nine pods with their services, all of them serving."""
    documents = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"ns": namespace}}}
        for namespace in SPACES
    ]
    for number, (namespace, pod) in enumerate(product(SPACES, NAMES)):
        node = lab.nodes[number % 2]
        documents += [_in(namespace, labelled(pod, node)), _in(namespace, service_of(pod))]
    lab.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))
    try:
        peers = {}
        for namespace, pod in product(SPACES, NAMES):
            (ready,) = lab.ready_pods(f"pod={pod}", 1, namespace)
            cluster_ip = lab.get("service", pod, "-n", namespace)["spec"]["clusterIP"]
            peers[f"{namespace}/{pod}"] = Peer(
                f"{namespace}/{pod}", network_of(lab, ready), ready["status"]["podIP"], cluster_ip
            )
        with serving(peers.values()):
            matrix = Matrix(lab, peers)
            matrix.shows(lambda *_: True, within=15)
            yield matrix
    finally:
        for namespace in SPACES:
            lab.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def matrix(whole: Matrix) -> Iterator[Matrix]:
    yield whole
    whole.clear()


def _in(namespace: str, document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "metadata": {**document["metadata"], "namespace": namespace}}


def labelled(pod: str, node: str) -> dict[str, Any]:
    document = sleeper(pod, nodeName=node)
    document["metadata"]["labels"] = {"pod": pod}
    document["spec"]["containers"][0]["ports"] = [
        {"name": f"serve-{port}-{protocol.lower()}", "protocol": protocol, "containerPort": port}
        for protocol, port in PORTS
    ]
    return document


def service_of(pod: str) -> dict[str, Any]:
    ports = [{"name": f"{p.lower()}-{n}", "protocol": p, "port": n, "targetPort": n} for p, n in PORTS]
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": pod},
        "spec": {"selector": {"pod": pod}, "ports": ports},
    }  # fmt: skip


def network_of(lab: Lab, pod: dict[str, Any]) -> Path:
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("docker://")
    pid = lab.docker(pod["spec"]["nodeName"], "inspect", "--format", "{{.State.Pid}}", container).strip()
    return Path(f"/proc/{pid}/ns/net")


def policy(
    spec: dict[str, Any], pods: dict[str, str] | None = None, *, namespace: str = X, called: str = "policy"
) -> dict[str, Any]:
    selector = {"podSelector": {"matchLabels": pods or {}}}
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": called, "namespace": namespace}, "spec": {**selector, **spec},
    }  # fmt: skip


A = {"pod": "a"}
POD_B = {"podSelector": {"matchLabels": {"pod": "b"}}}
SPACE_Y = {"namespaceSelector": {"matchLabels": {"ns": SPACES[1]}}}
NOT_X = {"namespaceSelector": {"matchExpressions": [{"key": "ns", "operator": "NotIn", "values": [X]}]}}
DENY_INGRESS: dict[str, Any] = {"policyTypes": ["Ingress"]}
DENY_EGRESS: dict[str, Any] = {"policyTypes": ["Egress"]}
TO_A = f"{X}/a"

CASES: dict[str, tuple[list[dict[str, Any]], Truth]] = {
    "deny all ingress": ([policy(DENY_INGRESS)], lambda c, s, p, n: c == s or space(s) != X),
    "deny all egress": ([policy(DENY_EGRESS)], lambda c, s, p, n: c == s or space(c) != X),
    "deny all of both": (
        [policy({"policyTypes": ["Ingress", "Egress"]})],
        lambda c, s, p, n: c == s or (space(c) != X and space(s) != X),
    ),
    "allow all ingress, although another policy denies it": (
        [policy(DENY_INGRESS), policy({"ingress": [{}]}, called="open")],
        lambda *_: True,
    ),
    "allow all egress": ([policy({"egress": [{}], "policyTypes": ["Egress"]})], lambda *_: True),
    "ingress from pods of the same namespace": (
        [policy({"ingress": [{"from": [POD_B]}]}, A)],
        lambda c, s, p, n: s != TO_A or c in (TO_A, f"{X}/b"),
    ),
    "ingress from a namespace": (
        [policy({"ingress": [{"from": [SPACE_Y]}]}, A)],
        lambda c, s, p, n: s != TO_A or c == TO_A or space(c) == SPACES[1],
    ),
    "ingress from pods of a namespace": (
        [policy({"ingress": [{"from": [{**POD_B, **SPACE_Y}]}]}, A)],
        lambda c, s, p, n: s != TO_A or c in (TO_A, f"{SPACES[1]}/b"),
    ),
    "ingress from pods or from a namespace": (
        [policy({"ingress": [{"from": [POD_B, SPACE_Y]}]}, A)],
        lambda c, s, p, n: s != TO_A or c in (TO_A, f"{X}/b") or space(c) == SPACES[1],
    ),
    "ingress from namespaces by an expression": (
        [policy({"ingress": [{"from": [NOT_X]}]}, A)],
        lambda c, s, p, n: s != TO_A or c == TO_A or space(c) != X,
    ),
    "ingress at a port": (
        [policy({"ingress": [{"ports": [{"port": 81}]}]}, A)],
        lambda c, s, p, n: s != TO_A or c == TO_A or (p, n) == ("TCP", 81),
    ),
    "ingress at a port of UDP": (
        [policy({"ingress": [{"ports": [{"port": 80, "protocol": "UDP"}]}]}, A)],
        lambda c, s, p, n: s != TO_A or c == TO_A or p == "UDP",
    ),
    "ingress at a named port": (
        [policy({"ingress": [{"ports": [{"port": "serve-81-tcp"}]}]}, A)],
        lambda c, s, p, n: s != TO_A or c == TO_A or (p, n) == ("TCP", 81),
    ),
    "ingress at a range of ports": (
        [policy({"ingress": [{"ports": [{"port": 81, "endPort": 90}]}]}, A)],
        lambda c, s, p, n: s != TO_A or c == TO_A or (p, n) == ("TCP", 81),
    ),
    "egress to a namespace at a named port": (
        [
            policy(
                {
                    "egress": [{"to": [SPACE_Y], "ports": [{"port": "serve-80-udp", "protocol": "UDP"}]}],
                    "policyTypes": ["Egress"],
                },
                A,
            )
        ],
        lambda c, s, p, n: c != TO_A or s == TO_A or (space(s) == SPACES[1] and p == "UDP"),
    ),
    "two policies add up": (
        [
            policy({"ingress": [{"from": [SPACE_Y], "ports": [{"port": 80}]}]}, A),
            policy({"ingress": [{"ports": [{"port": 81}]}]}, A, called="more"),
        ],
        lambda c, s, p, n: (
            s != TO_A or c == TO_A or (p, n) == ("TCP", 81) or (p, n, space(c)) == ("TCP", 80, SPACES[1])
        ),
    ),
    "ingress that the client's egress forbids": (
        [policy({"ingress": [{"from": [SPACE_Y]}]}, A), policy(DENY_EGRESS, {"pod": "b"}, namespace=SPACES[1])],
        lambda c, s, p, n: c == s or (c != f"{SPACES[1]}/b" and (s != TO_A or space(c) == SPACES[1])),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_pods_reach_exactly_whom_the_policies_allow(matrix: Matrix, case: str) -> None:
    policies, truth = CASES[case]
    matrix.apply(policies)
    matrix.shows(truth)


def test_a_block_of_addresses_has_exceptions(matrix: Matrix) -> None:
    """From everywhere but one pod."""
    excepted = f"{SPACES[2]}/b"
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": [f"{matrix.peers[excepted].address}/32"]}}
    matrix.apply([policy({"ingress": [{"from": [block]}]}, A)])
    matrix.shows(lambda c, s, p, n: s != TO_A or c != excepted)
    matrix.apply([policy({"egress": [{"to": [block]}], "policyTypes": ["Egress"]}, A)])
    matrix.shows(lambda c, s, p, n: c != TO_A or s != excepted)


def test_labels_decide_as_they_are_now(matrix: Matrix) -> None:
    matrix.apply([policy({"ingress": [{"from": [{"podSelector": {"matchLabels": {"friend": "yes"}}}, SPACE_Y]}]}, A)])
    matrix.shows(lambda c, s, p, n: s != TO_A or c == TO_A or space(c) == SPACES[1])
    matrix.lab.kubectl("label", "pod", "-n", X, "c", "friend=yes")
    matrix.shows(lambda c, s, p, n: s != TO_A or c in (TO_A, f"{X}/c") or space(c) == SPACES[1])
    matrix.lab.kubectl("label", "pod", "-n", X, "c", "friend-")
    matrix.lab.kubectl("label", "namespace", SPACES[2], "--overwrite", f"ns={SPACES[1]}")
    try:
        matrix.shows(lambda c, s, p, n: s != TO_A or c == TO_A or space(c) != X)
    finally:
        matrix.lab.kubectl("label", "namespace", SPACES[2], "--overwrite", f"ns={SPACES[2]}")


def test_without_policies_everything_is_open_again_and_nothing_is_left(matrix: Matrix) -> None:
    matrix.apply([policy(DENY_INGRESS)])
    matrix.shows(lambda c, s, p, n: c == s or space(s) != X)
    matrix.clear()
    matrix.shows(lambda *_: True)
    for node in matrix.lab.nodes:
        eventually(lambda node=node: "KUBE-N" not in matrix.lab.in_node(node, "ipset", "list", "-n").stdout, 5)  # type: ignore[misc]
        assert "KUBE-N" not in matrix.lab.in_node(node, "iptables-save", "-t", "mangle").stdout


def test_policies_hold_while_proxies_are_away_and_after_they_are_back(matrix: Matrix) -> None:
    deny: Truth = lambda c, s, p, n: c == s or space(s) != X  # noqa: E731
    matrix.apply([policy(DENY_INGRESS)])
    matrix.shows(deny)
    expected = table(matrix.attempts, deny)
    for node in matrix.lab.nodes:
        matrix.lab.daemon(f"{node}/kube-proxy", "kill")
    assert reached(matrix.attempts, matrix.peers, through_services=False) == expected
    for node in matrix.lab.nodes:
        matrix.lab.daemon(f"{node}/kube-proxy", "start")
    matrix.shows(deny, within=15)


def test_a_pod_is_isolated_before_it_starts(matrix: Matrix) -> None:
    """It tries from its first moment on, and nothing of that arrives."""
    other = matrix.peers[f"{SPACES[1]}/a"]
    attempts = f"for i in $(seq 40); do echo '?' | nc -w 1 {other.address} 80 && echo open; done; sleep 3600"
    matrix.apply([policy({"policyTypes": ["Egress"]}, {"pod": "new"})])
    matrix.shows(lambda *_: True)
    for number in range(3):
        document = labelled("new", matrix.lab.nodes[number % 2])
        document["metadata"]["name"] = pod = f"new-{number}"
        document["spec"]["containers"][0]["command"] = ["sh", "-c", f"echo began; {attempts}"]
        matrix.lab.apply(document, namespace=X)
        try:
            eventually(lambda pod=pod: "began" in matrix.lab.kubectl("logs", "-n", X, pod, check=False))  # type: ignore[misc]
            # By now its address is known, and nothing but the first moments could have been open.
            eventually(lambda pod=pod: matrix.lab.get("pod", "-n", X, pod)["status"].get("podIP"))  # type: ignore[misc]
            assert "open" not in matrix.lab.kubectl("logs", "-n", X, pod)
        finally:
            matrix.lab.kubectl("delete", "pod", "-n", X, pod, "--wait=false")


def test_nodes_reach_isolated_pods(matrix: Matrix) -> None:
    matrix.apply([policy({"policyTypes": ["Ingress", "Egress"]})])
    matrix.shows(lambda c, s, p, n: c == s or (space(c) != X and space(s) != X))
    nodes = {node: Peer(node, Path("/run/netns") / matrix.lab.lab.namespace(node), "") for node in matrix.lab.nodes}
    attempts = [(node, f"{X}/{pod}", *port) for node in nodes for pod in NAMES for port in PORTS]
    for through_services in (False, True):
        answered = reached(attempts, {**matrix.peers, **nodes}, through_services=through_services)
        assert answered == {*attempts}


def test_each_node_says_that_it_enforces_policies(lab: Lab) -> None:
    for node in lab.nodes:
        conditions = lab.get("node", node)["status"]["conditions"]
        (condition,) = [entry for entry in conditions if entry["type"] == "NetworkPolicyEnforced"]
        assert (condition["status"], condition["reason"]) == ("True", "RulesInPlace")
    written = lab.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(policy({}, namespace="default")))
    assert "not enforced" not in written
