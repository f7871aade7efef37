"""Nodes as clients see them: their daemons through the proxy, ``kubectl top``, and a drained node."""

import json
import re
import subprocess

import pytest

from tests import kubectls
from tests.e2e.lab import Lab, controller, eventually, service


def with_kubectl(lab: Lab, which: str, *arguments: str) -> str:
    """The output of the current kubectl, or of the oldest supported one."""
    if which == "today":
        return lab.kubectl(*arguments)
    program, config = str(kubectls.program(kubectls.OLD)), str(lab.state / "kubeconfig")
    done = subprocess.run([program, f"--kubeconfig={config}", *arguments], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_nodes_daemons_answer_through_the_proxy(lab: Lab) -> None:
    for node in lab.nodes:
        assert lab.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/healthz") == "ok"
        assert backends(lab, node, "default/kubernetes:https"), "kube-proxy knows no way to the apiserver"
        assert "kubeproxy" in lab.kubectl("get", "--raw", f"/api/v1/nodes/https:{node}:10249/proxy/metrics")
        assert "node_cpu_usage_seconds_total" in lab.kubectl(
            "get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics/resource"
        )


def backends(lab: Lab, node: str, name: str) -> set[str]:
    """Where a node's kube-proxy would send a service port's next connections."""
    table = json.loads(lab.kubectl("get", "--raw", f"/api/v1/nodes/https:{node}:10249/proxy/table"))
    rows = [row for row in table["services"] if row["name"] == name]
    return {endpoint["address"] for row in rows for endpoint in row["endpoints"]}


def test_the_proxy_s_table_shows_a_service_s_current_backends(lab: Lab) -> None:
    with lab.namespace("table") as namespace:
        lab.apply(controller("shown", 3), service("shown"), namespace=namespace)
        for count in (3, 1, 2):
            lab.kubectl("scale", "-n", namespace, "rc", "shown", f"--replicas={count}")
            pods = lab.ready_pods("app=shown", count, namespace)
            addresses = {f"{pod['status']['podIP']}:8080" for pod in pods}
            for node in lab.nodes:
                eventually(lambda node=node, pods=addresses: backends(lab, node, f"{namespace}/shown") == pods)


def test_pods_and_services_of_any_node_answer_through_the_proxy(lab: Lab) -> None:
    with lab.namespace("proxied") as namespace:
        lab.apply(controller("web", 2), service("web"), namespace=namespace)
        pods = lab.ready_pods("app=web", 2, namespace)
        assert {pod["spec"]["nodeName"] for pod in pods} == set(lab.nodes)
        root = f"/api/v1/namespaces/{namespace}"
        for pod in pods:
            name = pod["metadata"]["name"]
            assert name in lab.kubectl("get", "--raw", f"{root}/pods/{name}:8080/proxy/")

        def through_the_service() -> bool:
            answers = {lab.kubectl("get", "--raw", f"{root}/services/web:1234/proxy/") for _ in range(8)}
            return len(answers) == 2

        eventually(through_the_service)


@pytest.mark.parametrize("which", ["today", "old"])
def test_kubectl_top(lab: Lab, which: str) -> None:
    name = f"top-{which}"
    with lab.namespace(name) as namespace:
        lab.apply(controller("used", 2), namespace=namespace)
        lab.ready_pods("app=used", 2, namespace)

        def sampled() -> bool:
            out = with_kubectl(lab, which, "top", "pods", "-n", namespace, "-l", "app=used", "--containers")
            return out.count("server") == 2

        eventually(sampled, timeout=60, interval=1)
        nodes = with_kubectl(lab, which, "top", "nodes")
        for node in lab.nodes:
            assert re.search(rf"^{node} +\d+m +\d+% +\d+Mi +\d+%", nodes, re.MULTILINE), nodes
        everything = with_kubectl(lab, which, "top", "pods", "-A")
        assert len(re.findall(rf"^{namespace} +used-\S+ +\d+m +\d+Mi", everything, re.MULTILINE)) == 2, everything


def test_a_drained_nodes_pods_go_elsewhere(lab: Lab) -> None:
    first, second = lab.nodes[:2]
    with lab.namespace("drained") as namespace:
        lab.apply(controller("moved", 4), namespace=namespace)
        lab.ready_pods("app=moved", 4, namespace)
        try:
            lab.kubectl("drain", first, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s")
            pods = lab.ready_pods("app=moved", 4, namespace)
            assert {pod["spec"]["nodeName"] for pod in pods} == {second}
            assert "SchedulingDisabled" in lab.kubectl("get", "node", first)
        finally:
            lab.kubectl("uncordon", first)
