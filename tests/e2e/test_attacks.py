"""What one user may do to a whole cluster: every daemon goes on, and everybody else is served."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.lab import Lab, controller, eventually, service, sleeper
from tests.integration.apiserver import attacks

LEADERS = ("kube-scheduler", "kube-controller-manager")
SECONDS = 10
CONNECTIONS = 16


@pytest.fixture
def ann(lab: Lab) -> Iterator[str]:
    """The token of a user who may edit one namespace."""
    lab.kubectl("create", "serviceaccount", "ann")
    lab.kubectl("create", "rolebinding", "ann", "--clusterrole=edit", "--serviceaccount=default:ann")
    yield lab.kubectl("create", "token", "ann").strip()
    lab.kubectl("delete", "serviceaccount/ann", "rolebinding/ann")


def leases(lab: Lab) -> dict[str, Any]:
    """Who leads, and how often that has changed."""
    specs = {name: lab.get("lease", name, "-n", "kube-system")["spec"] for name in LEADERS}
    return {name: (spec["holderIdentity"], spec["leaseTransitions"]) for name, spec in specs.items()}


def works(lab: Lab, name: str) -> None:
    """The control plane makes a pod of a controller, places it, and it runs."""
    lab.apply(controller(name, 1))
    lab.ready_pods(f"app={name}", 1)
    lab.kubectl("delete", f"rc/{name}", "--wait=false")


@pytest.mark.parametrize("attack", ["9,999 copies", "90,000 keys"])
def test_no_lease_is_lost_while_a_user_sends_the_most_expensive_requests(lab: Lab, ann: str, attack: str) -> None:
    lab.apply({"apiVersion": "v1", "kind": "ConfigMap", **attacks.stored()})
    before = leases(lab)
    arguments = [lab.lab.server, str(lab.state / "pki" / "ca.crt"), ann, attack, str(CONNECTIONS), str(SECONDS)]
    command = [sys.executable, "-m", "tests.integration.apiserver.attacks", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as attacker:
        works(lab, "meanwhile")
        assert attacker.poll() is None, "the pod ran while the attack lasted"
        codes = json.loads(attacker.communicate()[0])
    assert set(codes) <= {"200", "201", "429"}, codes
    assert {"200", "201"} & set(codes), codes
    assert leases(lab) == before
    nodes = {node["metadata"]["name"]: node["status"]["conditions"] for node in lab.items("nodes")}
    for conditions in nodes.values():
        assert {condition["type"]: condition["status"] for condition in conditions}["Ready"] == "True"
    lab.kubectl("delete", "configmap", attacks.STORED)


def owned(name: str, owner: str, uid: str) -> str:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": uid, "blockOwnerDeletion": True}
    return json.dumps({"metadata": {"name": name, "ownerReferences": [reference]}})


@pytest.mark.parametrize("names", [("own",), ("first", "second", "third")], ids=["itself", "a circle of three"])
def test_pods_that_own_each_other_are_deleted_and_controllers_go_on(lab: Lab, names: tuple[str, ...]) -> None:
    before = leases(lab)
    lab.apply(*(sleeper(name) for name in names))
    uids = {name: lab.get("pod", name)["metadata"]["uid"] for name in names}
    for name, owner in zip(names, [*names[1:], names[0]], strict=True):
        lab.kubectl("patch", "pod", name, "--type=merge", "-p", owned(name, owner, uids[owner]))
    lab.kubectl("delete", "pod", names[0], "--cascade=foreground", "--wait=false")
    eventually(lambda: not {pod["metadata"]["name"] for pod in lab.items("pods")} & set(names))
    works(lab, "after-circle")
    assert leases(lab) == before


def external(name: str, address: str, port: int) -> dict[str, Any]:
    """A service that claims a port of an address which is not its owner's to give."""
    document = service(name)
    document["spec"]["externalIPs"] = [address]
    document["spec"]["ports"] = [{"port": port, "targetPort": 8080}]
    return document


def test_a_service_takes_neither_a_kubelets_port_nor_the_apiservers(lab: Lab) -> None:
    lab.apply(controller("taker", 1))
    (pod,) = lab.ready_pods("app=taker", 1)
    refused = lab.kubectl("apply", "-f", "-", stdin=json.dumps(external("taker", "127.0.0.1", 10250)), check=False)
    assert "spec.externalIPs[0]" in refused, refused
    lab.apply(
        external("kubelet-taker", lab.node_address("node-1"), 10250),
        external("kubelet-taker-2", lab.node_address("node-2"), 10250),
        external("apiserver-taker", str(lab.lab.addresses.master), 6443),
    )
    lab.apply(service("taker"))
    address = lab.get("service", "taker")["spec"]["clusterIP"]
    # rules of later services are in force, so the proxies have seen these, and still hear of what changes
    for node in lab.nodes:
        eventually(lambda node=node: lab.fetch_in_node(node, f"http://{address}:1234/"))
    assert lab.kubectl("logs", pod["metadata"]["name"]) is not None
    assert lab.kubectl("exec", pod["metadata"]["name"], "--", "hostname").strip() == pod["metadata"]["name"]
    works(lab, "after-taking")
    lab.kubectl("delete", "service", "taker", "kubelet-taker", "kubelet-taker-2", "apiserver-taker")
    lab.kubectl("delete", "rc", "taker", "--wait=false")


@pytest.mark.timeout(300)
def test_nodes_stay_ready_through_a_burst_of_two_hundred_pods(lab: Lab) -> None:
    def transitions() -> list[tuple[str, str]]:
        ready = [c for node in lab.items("nodes") for c in node["status"]["conditions"] if c["type"] == "Ready"]
        return [(condition["status"], condition["lastTransitionTime"]) for condition in ready]

    before = transitions()
    lab.apply(controller("burst", 200, terminationGracePeriodSeconds=0))
    lab.ready_pods("app=burst", 200, timeout=180)
    lab.kubectl("delete", "rc/burst")
    eventually(lambda: not lab.items("pods", "-l", "app=burst"), timeout=90)
    assert transitions() == before
