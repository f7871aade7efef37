"""What the article describes, step by step, on a cluster of two nodes."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.lab import Lab, controller, eventually, service, sleeper

REDIS = {
    "REDIS_MASTER_SERVICE_HOST": "10.0.0.11",
    "REDIS_MASTER_SERVICE_PORT": "6379",
    "REDIS_MASTER_PORT": "tcp://10.0.0.11:6379",
    "REDIS_MASTER_PORT_6379_TCP": "tcp://10.0.0.11:6379",
    "REDIS_MASTER_PORT_6379_TCP_PROTO": "tcp",
    "REDIS_MASTER_PORT_6379_TCP_PORT": "6379",
    "REDIS_MASTER_PORT_6379_TCP_ADDR": "10.0.0.11",
}


@pytest.fixture(scope="module")
def app(lab: Lab) -> Iterator[Lab]:
    """Three pods behind a service with port 1234 and a node port, over both nodes."""
    lab.apply(controller("images", 3), service("images", type="NodePort"))
    pods = lab.ready_pods("app=images", 3)
    assert {pod["spec"]["nodeName"] for pod in pods} == set(lab.nodes)
    eventually(lambda: ready_addresses(lab, "images") == {pod["status"]["podIP"] for pod in pods})
    yield lab
    lab.kubectl("delete", "rc/images", "service/images", "--wait=false")


def ready_addresses(lab: Lab, name: str) -> set[str]:
    subsets = lab.get("endpoints", name).get("subsets") or []
    return {address["ip"] for subset in subsets for address in subset.get("addresses") or []}


def url(lab: Lab, name: str = "images") -> str:
    return f"http://{lab.get('service', name)['spec']['clusterIP']}:1234/"


def names(pods: list[dict[str, Any]]) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods}


def answering(page: str, pods: list[dict[str, Any]]) -> str:
    """The name of the pod that wrote a page."""
    return next(name for name in sorted(names(pods)) if name in page)


def test_the_service_answers_in_a_pod_on_each_node(app: Lab) -> None:
    pods = app.pods("app=images")
    for node in app.nodes:
        pod = next(pod for pod in pods if pod["spec"]["nodeName"] == node)
        assert answering(app.fetch_in_pod(pod, url(app)), pods)


def test_the_service_answers_on_each_node_itself_and_on_its_node_port(app: Lab) -> None:
    pods = app.pods("app=images")
    port = app.get("service", "images")["spec"]["ports"][0]["nodePort"]
    for node in app.nodes:
        assert answering(app.fetch_in_node(node, url(app)), pods)
        # from another machine of the lab, like a client outside the cluster
        assert answering(app.fetch_in_node("master", f"http://{app.node_address(node)}:{port}/"), pods)


def test_300_requests_are_spread_over_all_three_pods(app: Lab) -> None:
    pods = app.pods("app=images")
    script = f"for i in $(seq 300); do curl -sS --fail --max-time 5 {url(app)} || exit 1; echo; done"
    done = app.in_node("node-1", "sh", "-c", script, timeout=60)
    assert done.returncode == 0, done.stderr
    counted = Counter(name for name in names(pods) for _ in range(done.stdout.count(name)))
    assert sum(counted.values()) >= 300
    # each gets 100 on average; below 60 is five standard deviations away
    assert all(counted[name] > 60 for name in names(pods)), counted


def test_a_pod_sees_services_as_variables_if_they_are_older_than_it(lab: Lab) -> None:
    with lab.namespace("variables") as namespace:
        lab.apply(sleeper("before"), namespace=namespace)
        lab.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/before", "--timeout=30s")
        redis = service("redis-master", clusterIP="10.0.0.11", ports=[{"port": 6379}])
        lab.apply(redis, namespace=namespace)

        # a kubelet's service informer may lag a moment behind the API
        def variables() -> dict[str, str]:
            lab.kubectl("delete", "pod", "after", "-n", namespace, "--ignore-not-found", "--now")
            lab.apply(sleeper("after"), namespace=namespace)
            lab.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/after", "--timeout=30s")
            return environment(lab, "after", namespace)

        environment_of_pod = variables()
        assert {name: environment_of_pod.get(name) for name in REDIS} == REDIS
        assert not [name for name in environment(lab, "before", namespace) if name.startswith("REDIS_MASTER")]
        assert environment_of_pod["KUBERNETES_SERVICE_HOST"] == "10.0.0.1"


def environment(lab: Lab, pod: str, namespace: str) -> dict[str, str]:
    lines = lab.kubectl("exec", "-n", namespace, pod, "--", "env").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_containers_of_a_pod_share_network_ipc_host_name_and_volumes(lab: Lab) -> None:
    pod = sleeper("peas", volumes=[{"name": "shared", "emptyDir": {}}])
    mount = [{"name": "shared", "mountPath": "/shared"}]
    first = {
        **pod["spec"]["containers"][0],
        "volumeMounts": mount,
        "command": ["httpd", "-f", "-p", "8080", "-h", "/shared"],
    }
    second = {"name": "second", "image": "busybox:1", "command": ["sleep", "3600"], "volumeMounts": mount}
    pod["spec"]["containers"] = [first, second]
    lab.apply(pod)
    lab.kubectl("wait", "--for=condition=Ready", "pod/peas", "--timeout=30s")

    def run(container: str, command: str) -> str:
        return lab.kubectl("exec", "peas", "-c", container, "--", "sh", "-c", command).strip()

    run("second", "echo pea > /shared/page")
    assert run("second", "wget -qO- http://127.0.0.1:8080/page") == "pea"
    assert run("main", "hostname") == run("second", "hostname") == "peas"
    for kind in ("net", "ipc"):
        assert run("main", f"readlink /proc/self/ns/{kind}") == run("second", f"readlink /proc/self/ns/{kind}")
    assert run("main", "readlink /proc/self/ns/pid") != run("second", "readlink /proc/self/ns/pid")
    lab.kubectl("delete", "pod", "peas", "--now")


def test_a_killed_container_comes_back(app: Lab) -> None:
    pod = app.pods("app=images")[0]
    status = pod["status"]["containerStatuses"][0]
    app.docker(pod["spec"]["nodeName"], "kill", status["containerID"].removeprefix("docker://"))

    def restarted() -> bool:
        now = app.get("pod", pod["metadata"]["name"])["status"]["containerStatuses"][0]
        return now["restartCount"] == status["restartCount"] + 1 and now["ready"]

    eventually(restarted)
    assert app.get("pod", pod["metadata"]["name"])["metadata"]["uid"] == pod["metadata"]["uid"]


def test_a_deleted_pod_is_replaced(app: Lab) -> None:
    before = names(app.ready_pods("app=images", 3))
    victim = min(before)
    app.kubectl("delete", "pod", victim)
    after = names(app.ready_pods("app=images", 3))
    assert len(after & before) == 2
    assert victim not in after


def test_scaling_to_five_and_back_to_one(app: Lab) -> None:
    app.kubectl("scale", "rc", "images", "--replicas=5")
    pods = app.ready_pods("app=images", 5)
    eventually(lambda: ready_addresses(app, "images") == {pod["status"]["podIP"] for pod in pods})
    app.kubectl("scale", "rc", "images", "--replicas=1")
    [survivor] = app.ready_pods("app=images", 1)
    eventually(lambda: ready_addresses(app, "images") == {survivor["status"]["podIP"]})
    assert answering(app.fetch_in_node("node-1", url(app)), [survivor])
    app.kubectl("scale", "rc", "images", "--replicas=3")
    app.ready_pods("app=images", 3)


def test_a_relabelled_pod_leaves_the_set_and_the_endpoints_and_is_replaced(app: Lab) -> None:
    before = app.ready_pods("app=images", 3)
    pod = before[0]
    name, address = pod["metadata"]["name"], pod["status"]["podIP"]
    app.kubectl("label", "pod", name, "app=under-repair", "--overwrite")
    after = app.ready_pods("app=images", 3)
    assert name not in names(after)
    eventually(lambda: address not in ready_addresses(app, "images") and len(ready_addresses(app, "images")) == 3)
    released = app.get("pod", name)
    assert "ownerReferences" not in released["metadata"]
    assert released["status"]["phase"] == "Running"
    app.kubectl("delete", "pod", name, "--now")


def test_pods_reach_each_other_across_nodes_with_their_own_addresses(lab: Lab) -> None:
    listen = ("sh", "-c", "while true; do nc -l -p 7000 -e sh -c 'cat /proc/net/tcp /proc/net/tcp6'; done")
    for i, node in enumerate(lab.nodes):
        lab.apply(sleeper(f"far-{i}", listen, nodeName=node))
    for i in range(2):
        lab.kubectl("wait", "--for=condition=Ready", f"pod/far-{i}", "--timeout=30s")
    first, second = (lab.get("pod", f"far-{i}") for i in range(2))
    connections = lab.kubectl(
        "exec", "far-0", "--", "sh", "-c", f"nc -w 3 {second['status']['podIP']} 7000 < /dev/null"
    )
    octets = first["status"]["podIP"].split(".")
    hexadecimal = "".join(f"{int(octet):02X}" for octet in reversed(octets))
    assert hexadecimal in connections, "the connection comes from the pod's own address"
    lab.kubectl("delete", "pod", "far-0", "far-1", "--now")


def test_pods_reach_the_apiserver_through_its_service(app: Lab) -> None:
    pod = app.pods("app=images")[0]
    answer = app.kubectl(
        "exec", pod["metadata"]["name"], "--", "sh", "-c",
        "echo | nc -w 3 10.0.0.1 443 >/dev/null && echo connected",
    )  # fmt: skip
    assert "connected" in answer
    done = app.in_node(pod["spec"]["nodeName"], "curl", "-sS", "--cacert", str(app.state / "pki/ca.crt"),
                       "https://10.0.0.1/version")  # fmt: skip
    assert '"gitVersion"' in done.stdout, done.stderr


def test_pods_find_services_by_name(app: Lab) -> None:
    """``my-service`` in the same namespace, ``my-service.my-ns`` from others, and the full name."""
    with app.namespace("elsewhere") as namespace:
        app.apply(sleeper("asking"), namespace=namespace)
        app.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/asking", "--timeout=30s")
        near, far = app.pods("app=images")[0], app.get("pod", "asking", "-n", namespace)
        pods = app.pods("app=images")
        for pod, name in ((near, "images"), (far, "images.default"), (far, "images.default.svc.cluster.local")):
            assert answering(app.fetch_in_pod(pod, f"http://{name}:1234/"), pods)
