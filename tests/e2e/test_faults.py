"""Killed daemons, a lost node, an engine started without forwarding: what the cluster guarantees meanwhile."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import Lab, controller, eventually, service, sleeper
from tests.e2e.traffic import flowing

IMPATIENT = [
    {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    for what in ("not-ready", "unreachable")
]


@pytest.fixture(scope="module")
def url(lab: Lab) -> Iterator[str]:
    """A service of three pods that do not stay long on a lost node."""
    lab.apply(controller("steady", 3, tolerations=IMPATIENT), service("steady"))
    pods = lab.ready_pods("app=steady", 3)
    eventually(lambda: len(addresses(lab)) == len(pods))
    yield f"http://{lab.get('service', 'steady')['spec']['clusterIP']}:1234/"
    lab.kubectl("delete", "rc/steady", "service/steady", "--wait=false")


def addresses(lab: Lab) -> set[str]:
    subsets = lab.get("endpoints", "steady").get("subsets") or []
    return {address["ip"] for subset in subsets for address in subset.get("addresses") or []}


@pytest.mark.parametrize(
    "daemon",
    [
        "master/kube-apiserver",
        "master/kube-scheduler",
        "master/kube-controller-manager",
        "node-1/kubelet",
        "master/etcd",
    ],
)
def test_no_request_fails_for_the_kill_of(lab: Lab, url: str, daemon: str) -> None:
    before = {node: lab.containers(node) for node in lab.nodes}
    with flowing(lab, "node-1", url) as traffic:
        lab.daemon(daemon, "kill")
        time.sleep(2)  # the fault itself: the daemon is down for a while
        lab.daemon(daemon, "start")
        eventually(lambda: len(lab.ready_pods("app=steady", 3)) == 3)
    assert traffic.failures == []
    assert {node: lab.containers(node) for node in lab.nodes} == before, "no container was restarted"
    # and the daemon works again
    lab.apply(sleeper("probe"))
    lab.kubectl("wait", "--for=condition=Ready", "pod/probe", "--timeout=60s")
    lab.kubectl("delete", "pod", "probe", "--now")


def test_a_daemon_that_crashes_is_started_again_and_status_says_so(lab: Lab) -> None:
    for daemon in ("master/kube-controller-manager", "node-1/kubelet"):
        lab.daemon(daemon, "crash")

    def restarted() -> bool:
        done = lab.make("status", check=False)
        rows = {cells[0]: cells for line in done.stdout.splitlines() if (cells := line.split())}
        counts = [int(rows[key][4]) for key in ("master/kube-controller-manager", "node-1/kubelet")]
        return done.returncode == 0 and all(count > 0 for count in counts)

    eventually(restarted)


def test_a_killed_proxy_that_is_started_again_serves_every_request_from_its_first_on(lab: Lab, url: str) -> None:
    with flowing(lab, "node-1", url) as traffic:
        lab.daemon("node-1/kube-proxy", "kill")
        time.sleep(1)  # of traffic
        lab.daemon("node-1/kube-proxy", "start")
        eventually(lambda: lab.fetch_in_node("node-1", url))
        serves = time.time()
        time.sleep(2)  # of traffic
    assert traffic.failures, "without its proxy a node reaches no service"
    assert traffic.failures_after(serves) == []


@pytest.mark.timeout(240)
def test_pods_of_a_lost_node_are_replaced_and_the_service_answers_all_along(lab: Lab, url: str) -> None:
    lab.ready_pods("app=steady", 3)
    lost = {pod["metadata"]["name"] for pod in lab.pods("app=steady") if pod["spec"]["nodeName"] == "node-2"}
    assert lost
    try:
        with flowing(lab, "node-1", url) as traffic:
            lab.daemon("node-2/kubelet", "kill")
            lab.daemon("node-2/dockerd", "kill")

            def replaced() -> bool:
                living = [pod for pod in lab.pods("app=steady") if pod["metadata"]["name"] not in lost]
                return len(living) == 3 and all(pod["spec"]["nodeName"] == "node-1" for pod in living)

            eventually(replaced, timeout=120, interval=1)
            eventually(lambda: len(addresses(lab)) == 3)
        assert traffic.failures == []
        conditions = lab.get("node", "node-2")["status"]["conditions"]
        assert {condition["type"]: condition["status"] for condition in conditions}["Ready"] == "Unknown"
    finally:
        lab.up()
    # the node comes back and stops the pods that have been replaced
    eventually(lambda: not {pod["metadata"]["name"] for pod in lab.items("pods")} & lost, timeout=60)
    eventually(lambda: running_names(lab, "node-2").isdisjoint(lost), timeout=60)
    lab.kubectl("wait", "--for=condition=Ready", "node/node-2", "--timeout=60s")


def running_names(lab: Lab, node: str) -> set[str]:
    labels = lab.docker(node, "ps", "--format", '{{.Label "io.kubernetes.pod.name"}}')
    return set(labels.split())


@pytest.mark.timeout(180)
def test_a_node_that_was_silent_for_a_while_is_ready_again_with_its_pods(lab: Lab) -> None:
    lab.apply(sleeper("patient", nodeName="node-2"))
    lab.kubectl("wait", "--for=condition=Ready", "pod/patient", "--timeout=30s")
    container = lab.get("pod", "patient")["status"]["containerStatuses"][0]["containerID"]
    lab.daemon("node-2/kubelet", "pause")
    try:
        lab.kubectl("wait", "--for=condition=Ready=Unknown", "node/node-2", "--timeout=90s")
        lab.kubectl("wait", "--for=condition=Ready=False", "pod/patient", "--timeout=30s")
    finally:
        lab.daemon("node-2/kubelet", "continue")
    lab.kubectl("wait", "--for=condition=Ready", "node/node-2", "pod/patient", "--timeout=60s")
    assert lab.get("pod", "patient")["status"]["containerStatuses"][0]["containerID"] == container
    lab.kubectl("delete", "pod", "patient", "--now")


@pytest.mark.timeout(180)
def test_pods_reach_each_other_on_an_engine_that_was_started_without_forwarding(lab: Lab) -> None:
    """Docker then sets the policy of FORWARD to DROP; the kubelet lets the pods' traffic through all the same."""
    lab.daemon("node-2/kubelet", "stop")
    lab.daemon("node-2/dockerd", "stop")
    lab.in_node("node-2", "sysctl", "-qw", "net.ipv4.ip_forward=0")
    try:
        lab.daemon("node-2/dockerd", "start")
    finally:
        lab.up()
    policy = lab.in_node("node-2", "iptables", "-S", "FORWARD").stdout
    assert "-P FORWARD DROP" in policy
    server = sleeper("server", ("httpd", "-f", "-p", "8080", "-h", "/etc"), nodeName="node-2")
    lab.apply(server, sleeper("client", nodeName="node-1"))
    for name in ("server", "client"):
        lab.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    address = lab.get("pod", "server")["status"]["podIP"]
    page = eventually(lambda: lab.kubectl("exec", "client", "--", "wget", "-qO-", f"http://{address}:8080/hostname"))
    assert page.strip() == "server"
    lab.kubectl("delete", "pod", "server", "client", "--now")


@pytest.mark.timeout(240)
def test_the_cluster_follows_an_etcd_that_is_restored_from_an_older_copy(lab: Lab, tmp_path: Path) -> None:
    """Pods from after the copy lose their containers; those from before are reported, started and served as ever."""
    data = lab.state / "etcd"
    lab.apply(controller("early", 2), service("early"))
    kept = {pod["metadata"]["name"] for pod in lab.ready_pods("app=early", 2)}
    lab.apply(sleeper("starting", nodeName="node-1"))
    lab.daemon("master/etcd", "stop")
    shutil.copytree(data, tmp_path / "copy")
    lab.daemon("master/etcd", "start")

    lab.kubectl("wait", "--for=condition=Ready", "pod/starting", "--timeout=60s")
    lab.apply(controller("late", 2), service("late"))
    lost = {pod["metadata"]["name"] for pod in lab.ready_pods("app=late", 2)}
    lab.kubectl("delete", "service", "early")
    maps = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"late-{n}"}} for n in range(300)]
    lab.apply(*maps)

    lab.daemon("master/kube-apiserver", "kill")
    lab.daemon("master/etcd", "kill")
    shutil.rmtree(data)
    shutil.copytree(tmp_path / "copy", data)
    lab.daemon("master/etcd", "start")
    lab.daemon("master/kube-apiserver", "start")

    def containers() -> set[str]:
        return {name for node in lab.nodes for name in running_names(lab, node)}

    eventually(lambda: not containers() & lost, timeout=90)
    assert containers() >= kept | {"starting"}
    assert {pod["metadata"]["name"] for pod in lab.ready_pods("app=early", 2)} == kept
    lab.kubectl("wait", "--for=condition=Ready", "pod/starting", "--timeout=60s")
    url = f"http://{lab.get('service', 'early')['spec']['clusterIP']}:1234/"
    for node in lab.nodes:
        assert eventually(lambda node=node: lab.fetch_in_node(node, url)).split()[0] in kept
    lab.apply(sleeper("new"))
    lab.kubectl("wait", "--for=condition=Ready", "pod/new", "--timeout=60s")
    lab.kubectl("delete", "rc/early", "service/early", "pod/starting", "pod/new", "--wait=false")
