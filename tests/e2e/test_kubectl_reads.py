"""kubectl's verbs that read, wait, or concern the cluster itself, with the oldest and the newest supported client."""

import json
from pathlib import Path

import yaml

from tests.e2e.kubectl_clients import KINDS, OTHERS, Kubectl, documents

# -- get, describe, explain


WIDE = {
    "namespaces": "NAME STATUS AGE",
    "nodes": "NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME",
    "configmaps": "NAME DATA AGE",
    "secrets": "NAME TYPE DATA AGE",
    "pods": "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES",
    "replicationcontrollers": "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR",
    "services": "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR",
    "endpoints": "NAME ENDPOINTS AGE",
    "deployments.apps": "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR",
    "jobs.batch": "NAME STATUS COMPLETIONS DURATION AGE CONTAINERS IMAGES SELECTOR",
}


def test_get_in_every_form(kubectl: Kubectl, everything: Path) -> None:
    for kind, header in WIDE.items():
        table = kubectl.run("get", kind, "-o", "wide").splitlines()
        assert " ".join(table[0].split()) == header
        assert any("web" in row or kubectl.namespace in row for row in table[1:])
    assert kubectl.run("get", "configmap", "web", "--no-headers").split()[:2] == ["web", "1"]
    assert "tier=back" in kubectl.run("get", "rc", "--show-labels")
    assert kubectl.run("get", "svc", "-L", "tier").splitlines()[1].split()[-1] == "back"
    listed = yaml.safe_load(kubectl.run("get", "-f", str(everything), "-o", "yaml"))
    assert [document["kind"] for document in listed["items"]] == [
        document["kind"] for document in documents(kubectl.namespace)
    ]
    assert kubectl.json("get", "deploy", "web")["apiVersion"] == "apps/v1"
    assert kubectl.run("get", "svc", "web", "-o", "jsonpath={.spec.ports[0].port}/{.spec.type}") == "80/ClusterIP"
    columns = kubectl.run("get", "rc,job", "-o", "custom-columns=WHAT:.kind,NAME:.metadata.name")
    assert [row.split() for row in columns.splitlines()] == [
        ["WHAT", "NAME"], ["ReplicationController", "web"], ["Job", "web"],
    ]  # fmt: skip
    template = "go-template={{range .items}}{{.metadata.name}} {{.kind}}{{end}}"
    assert kubectl.run("get", "secrets", "-o", template) == "web Secret"
    assert kubectl.run("get", "pods,endpoints", "-o", "name") == "pod/web\nendpoints/web\n"
    assert "NAMESPACE" in kubectl.run("get", "pods", "-A").splitlines()[0]
    assert (
        kubectl.run("get", "pods", "--field-selector=status.phase=Pending,spec.nodeName=", "-o", "name") == "pod/web\n"
    )
    assert kubectl.run("get", "pods", "-l", "tier!=back", "--no-headers") == ""
    assert kubectl.run("get", "service", "nothing", "--ignore-not-found") == ""
    assert 'the server doesn\'t have a resource type "nonsense"' in kubectl.run("get", "nonsense", code=1)
    listed = kubectl.run("get", "all", "-o", "name").split()
    assert {"pod/web", "replicationcontroller/web", "service/web", "deployment.apps/web", "job.batch/web"} <= set(
        listed
    )


def test_get_sorts_and_pages(kubectl: Kubectl) -> None:
    for name, value in (("a", "3"), ("b", "1"), ("c", "2")):
        kubectl.run("create", "configmap", name, f"--from-literal=rank={value}")
    ranked = kubectl.run("get", "configmaps", OTHERS, "--sort-by=.data.rank", "--no-headers")
    assert [row.split()[0] for row in ranked.splitlines()] == ["b", "c", "a"]
    paged = kubectl.run("get", "configmaps", OTHERS, "--chunk-size=1", "--no-headers")
    assert [row.split()[0] for row in paged.splitlines()] == ["a", "b", "c"]


def test_get_watches(kubectl: Kubectl) -> None:
    kubectl.run("create", "configmap", "a")
    with kubectl.follow("get", "configmaps", OTHERS, "-w", "--output-watch-events", "--no-headers") as rows:
        assert rows.line().split()[:3] == ["ADDED", "a", "0"]
        kubectl.run("patch", "configmap", "a", "-p", '{"data":{"k":"v"}}')
        assert rows.line().split()[:3] == ["MODIFIED", "a", "1"]
        kubectl.run("create", "configmap", "b")
        assert rows.line().split()[:3] == ["ADDED", "b", "0"]
        kubectl.run("delete", "configmap", "a")
        assert rows.line().split()[:2] == ["DELETED", "a"]
    with kubectl.follow("get", "configmap", "b", "-w", "-o", "name") as rows:
        assert rows.line() == "configmap/b\n"
        kubectl.run("label", "configmap", "b", "x=y")
        assert rows.line() == "configmap/b\n"
    with kubectl.follow("get", "configmaps", "--watch-only", "-o", "jsonpath={.metadata.name}{'\\n'}", "-v=6") as rows:
        rows.wait_for_request("watch=true")
        kubectl.run("create", "configmap", "c")
        assert rows.line() == "c\n"


def test_describe(kubectl: Kubectl, everything: Path) -> None:
    described = kubectl.run("describe", "-f", str(everything))
    assert described.count("\nLabels:") == len(KINDS)
    for line in ("Unschedulable:", "BinaryData" if not kubectl.is_old else "Data", "Type:  Opaque", "QoS Class:", "Replicas:",
                 "TargetPort:", "NotReadyAddresses:", "StrategyType:", "Parallelism:"):  # fmt: skip
        assert line in described, line
    missing = kubectl.run("describe", "pod", "nothing", code=1)
    assert missing == 'Error from server (NotFound): pods "nothing" not found\n'
    pod = kubectl.json("get", "pod", "web")["metadata"]
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1"}, "type": "Warning", "count": 1,
        "reason": "Hungry", "message": "wants more", "source": {"component": "test"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod["uid"], "namespace": pod["namespace"]},
    }  # fmt: skip
    kubectl.run("create", "-f", "-", stdin=json.dumps(event))
    assert "wants more" in kubectl.run("describe", "pod", "web")
    assert "Hungry" in kubectl.run("get", "events")
    if not kubectl.is_old:
        assert "pod/web" in kubectl.run("events", "--for", "pod/web").lower()


def test_explain(kubectl: Kubectl) -> None:
    for kind in KINDS:
        deep = kubectl.run("explain", kind.partition(".")[0], "--recursive")
        for part in ("KIND:", "DESCRIPTION:", "apiVersion", "creationTimestamp", "ownerReferences"):
            assert part in deep, f"{kind}: {part}"
    explanation = kubectl.run("explain", "pod.spec.containers.livenessProbe")
    assert "initialDelaySeconds" in explanation
    assert "strategy" in kubectl.run("explain", "deployment.spec", "--api-version=apps/v1")
    assert 'field "nothing" does not exist' in kubectl.run("explain", "pod.nothing", code=1)


# -- wait, auth, discovery, nodes


def test_wait(kubectl: Kubectl) -> None:
    overrides = {"apiVersion": "v1", "spec": {"schedulerName": "nobody"}}  # so that its status is the test's alone
    kubectl.run("run", "one", "--image=busybox", f"--overrides={json.dumps(overrides)}")
    late = kubectl.run("wait", "--for=condition=Ready", "pod/one", "--timeout=100ms", code=1)
    assert "timed out waiting for the condition" in late
    waiting = kubectl.start("wait", "--for=condition=Ready", "pod/one", "--timeout=20s")
    pod = kubectl.json("get", "pod", "one")
    pod["status"] = {**pod["status"], "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    del pod["metadata"]["resourceVersion"]
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/one/status"
    kubectl.run("replace", "--raw", path, "-f", "-", stdin=json.dumps(pod))
    out, err = waiting.communicate(timeout=30)
    assert out == "pod/one condition met\n", err
    if not kubectl.is_old:
        by_path = ("wait", "--for=jsonpath={.status.phase}=Running", "pod/one", "--timeout=20s")
        assert kubectl.run(*by_path) == "pod/one condition met\n"
        assert kubectl.run("wait", "--for=create", "pod/one", "--timeout=20s") == "pod/one condition met\n"
    with kubectl.follow("wait", "--for=delete", "pod/one", "--timeout=20s", "-v=6") as waiting:
        waiting.wait_for_request("watch=true")
        kubectl.run("delete", "pod", "one")
        assert waiting.exit_code() == 0


def test_auth(kubectl: Kubectl) -> None:
    assert kubectl.run("auth", "can-i", "create", "pods") == "yes\n"
    assert kubectl.run("auth", "can-i", "get", "pods", "--subresource=log") == "yes\n"
    assert kubectl.run("auth", "can-i", "get", "/healthz") == "yes\n"
    assert kubectl.run("auth", "can-i", "create", "pods", "-q") == ""
    listed = kubectl.run("auth", "can-i", "--list")
    assert "Resources" in listed
    assert "[*]" in listed
    if not kubectl.is_old:
        identity = kubectl.run("auth", "whoami")
        assert "admin" in identity
        assert "system:masters" in identity


def test_discovery(kubectl: Kubectl) -> None:
    rows = [row.split() for row in kubectl.run("api-resources", "--no-headers").splitlines()]
    named = {row[0] for row in rows}
    assert {kind.partition(".")[0] for kind in KINDS} <= named
    names = kubectl.run("api-resources", "-o", "name").splitlines()
    assert set(KINDS) <= set(names)
    assert len(names) == len(set(names))
    grouped = kubectl.run("api-resources", "--api-group=apps", "--namespaced=true", "-o", "name").split()
    assert "deployments.apps" in grouped
    assert "nodes" in kubectl.run("api-resources", "--namespaced=false", "--verbs=list,watch", "-o", "name").split()
    wide = kubectl.run("api-resources", "-o", "wide")
    assert "po" in next(row.split() for row in wide.splitlines() if row.startswith("pods "))
    assert {"v1", "apps/v1", "batch/v1"} <= set(kubectl.run("api-versions").split())
    assert "is running at" in kubectl.run("cluster-info")
    assert "GitVersion" in kubectl.run("version") or "Server Version: v1." in kubectl.run("version")
    assert json.loads(kubectl.run("get", "--raw", "/version"))["major"] == "1"
    assert kubectl.run("get", "--raw", "/readyz") == "ok"
    assert json.loads(kubectl.run("get", "--raw", "/apis"))["kind"] == "APIGroupList"


def test_raw(kubectl: Kubectl) -> None:
    maps = f"/api/v1/namespaces/{kubectl.namespace}/configmaps"
    body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "raw"}})
    assert json.loads(kubectl.run("create", "--raw", maps, "-f", "-", stdin=body))["metadata"]["name"] == "raw"
    assert json.loads(kubectl.run("get", "--raw", f"{maps}/raw"))["kind"] == "ConfigMap"
    assert json.loads(kubectl.run("replace", "--raw", f"{maps}/raw", "-f", "-", stdin=body))["kind"] == "ConfigMap"
    assert json.loads(kubectl.run("delete", "--raw", f"{maps}/raw"))["status"] == "Success"
    assert "(NotFound)" in kubectl.run("get", "--raw", f"{maps}/raw", code=1)


def test_nodes_are_cordoned_tainted_and_drained(kubectl: Kubectl) -> None:
    node, pod = f"{kubectl.namespace}-node", {"spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    kubectl.run("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}))
    assert kubectl.run("cordon", node) == f"node/{node} cordoned\n"
    assert kubectl.run("cordon", node) == f"node/{node} already cordoned\n"
    assert "SchedulingDisabled" in kubectl.run("get", "node", node)
    assert kubectl.run("uncordon", node) == f"node/{node} uncordoned\n"
    assert kubectl.run("taint", "node", node, "k=v:NoSchedule") == f"node/{node} tainted\n"
    assert kubectl.run("taint", "node", node, "k-") == f"node/{node} untainted\n"
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "on-it"}, **pod}
    body["spec"] = {**pod["spec"], "nodeName": node, "terminationGracePeriodSeconds": 0}
    kubectl.run("create", "-f", "-", stdin=json.dumps(body))
    rehearsed = kubectl.run("drain", node, "--force", "--dry-run=server")
    assert f"node/{node} cordoned (server dry run)" in rehearsed
    assert "(server dry run)" in rehearsed.splitlines()[-1]
    assert "cannot delete" in kubectl.run("drain", node, code=1)
    drained = kubectl.run("drain", node, "--force", "--grace-period=0", "--timeout=20s")
    assert "pod/on-it evicted" in drained
    assert kubectl.run("get", "pods", "-o", "name") == ""
    kubectl.run("delete", "node", node)
