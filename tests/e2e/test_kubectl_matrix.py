"""Every verb of kubectl with the oldest and the newest supported client, against a whole cluster."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.kubectl_clients import NEW, OLD, Kubectl, documents, editor, resource_name, text
from tests.e2e.lab import Lab, eventually

KINDS = (
    "namespaces", "nodes", "configmaps", "secrets", "pods", "replicationcontrollers", "services", "endpoints",
    "deployments.apps", "jobs.batch",
)  # fmt: skip

ROOT_CA = "kube-root-ca.crt"
"""Each namespace has it."""
OTHERS = f"--field-selector=metadata.name!={ROOT_CA}"


@pytest.fixture(scope="module", params=[NEW, OLD])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A version, and a home that keeps its discovery cache."""
    return request.param, tmp_path_factory.mktemp(f"kubectl-{request.param}")


_numbers = itertools.count(1)


@pytest.fixture
def kubectl(lab: Lab, home: tuple[str, Path]) -> Iterator[Kubectl]:
    """In its own namespace, which is deleted with the cluster-scoped objects named after it."""
    with lab.namespace(f"matrix-{next(_numbers)}") as name:
        client = Kubectl(home[0], lab, home[1], name)
        eventually(lambda: client.run("get", "configmaps", "-o", "name") == f"configmap/{ROOT_CA}\n")
        yield client
        lab.kubectl("delete", "node,namespace", f"{name}-node", f"{name}-more", "--ignore-not-found", "--wait=false")


@pytest.fixture
def everything(kubectl: Kubectl, tmp_path: Path) -> Path:
    """A file with one document of each kind, all of which have been created."""
    file = tmp_path / "all.yaml"
    file.write_text(text(documents(kubectl.namespace)))
    kubectl.run("create", "-f", str(file))
    settled(kubectl)
    return file


def settled(kubectl: Kubectl) -> None:
    """Wait until the node without a kubelet is marked unreachable: after that nothing changes it any more."""
    taints = ("get", "node", f"{kubectl.namespace}-node", "-o", "jsonpath={.spec.taints[*].key}")
    eventually(lambda: "unreachable" in kubectl.run(*taints))


def lines(kubectl: Kubectl, end: str) -> list[str]:
    """kubectl's output for an operation on all documents."""
    return [f"{resource_name(document)} {end}" for document in documents(kubectl.namespace)]


# -- create, replace, delete


def test_create_and_delete(kubectl: Kubectl, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(text(documents(kubectl.namespace)))
    rehearsed = kubectl.run("create", "-f", str(file), "--dry-run=server").splitlines()
    assert rehearsed == lines(kubectl, "created (server dry run)")
    assert kubectl.run("create", "-f", str(file)).splitlines() == lines(kubectl, "created")
    again = kubectl.run("create", "-f", str(file), code=1)
    assert again.count("(AlreadyExists)") == len(KINDS)
    assert 'configmaps "web" already exists' in again
    names = [resource_name(document) for document in documents(kubectl.namespace)]
    assert kubectl.run("get", "-f", str(file), "-o", "name").splitlines() == names
    deletions = kubectl.run("delete", "-f", str(file), "--wait=false").splitlines()
    assert deletions == [f'{name.replace("/", chr(32) + chr(34))}" deleted' for name in names]
    missing = kubectl.run("get", "configmap", "web", code=1)
    assert missing == 'Error from server (NotFound): configmaps "web" not found\n'
    assert "(NotFound)" in kubectl.run("delete", "secret", "web", code=1)
    assert kubectl.run("delete", "secret", "web", "--ignore-not-found") == ""


def test_delete_in_its_forms(kubectl: Kubectl) -> None:
    for name in ("a", "b", "c", "d", "e"):
        kubectl.run("create", "configmap", name)
    kubectl.run("label", "configmap", "a", "b", "x=y")
    assert kubectl.run("delete", "configmap", "-l", "x=y") == 'configmap "a" deleted\nconfigmap "b" deleted\n'
    by_field = ("delete", "configmap", "--field-selector=metadata.name=c")
    assert kubectl.run(*by_field) == 'configmap "c" deleted\n'
    assert kubectl.run("delete", "configmap/d", "--dry-run=server") == 'configmap "d" deleted (server dry run)\n'
    assert kubectl.run("delete", "configmap", "d", "-o", "name") == "configmap/d\n"
    deleted = f'configmap "e" deleted\nconfigmap "{ROOT_CA}" deleted\n'
    assert kubectl.run("delete", "configmap", "--all") == deleted
    kubectl.run("run", "one", "--image=busybox", "--restart=Never")
    forced = kubectl.start("delete", "pod", "one", "--grace-period=0", "--force")
    out, err = forced.communicate(timeout=30)
    assert 'pod "one" force deleted' in out
    assert "Immediate deletion does not wait" in err
    kubectl.run("run", "two", "--image=busybox")
    assert kubectl.run("delete", "pod", "two", "--now") == 'pod "two" deleted\n'
    kubectl.run("create", "deployment", "web", "--image=nginx")
    orphaning = ("delete", "deployment", "web", "--cascade=orphan", "--wait=false")
    assert kubectl.run(*orphaning) == 'deployment.apps "web" deleted\n'
    # the garbage collector orphans its dependents first
    eventually(lambda: kubectl.run("get", "deployments", "-o", "name") == "")
    assert kubectl.run("get", "configmaps,pods", "-o", "name") == f"configmap/{ROOT_CA}\n"


def test_replace(kubectl: Kubectl, everything: Path) -> None:
    manifests = kubectl.run("get", "-f", str(everything), "-o", "yaml").replace("tier: back", "tier: front")
    assert kubectl.run("replace", "-f", "-", stdin=manifests).splitlines() == lines(kubectl, "replaced")
    assert kubectl.run("get", "pods,secrets", "-l", "tier=front", "-o", "name") == "pod/web\nsecret/web\n"
    stale = kubectl.run("replace", "-f", "-", stdin=manifests, code=1)
    assert stale.count("(Conflict)") == len(KINDS)
    assert "the object has been modified; please apply your changes to the latest version" in stale
    original = [document for document in documents(kubectl.namespace) if document["kind"] in ("Service", "Deployment")]
    replaced = kubectl.run("replace", "-f", "-", stdin=text(original))
    assert replaced == "service/web replaced\ndeployment.apps/web replaced\n"
    pod = [document for document in documents(kubectl.namespace) if document["kind"] == "Pod"]
    refused = kubectl.run("replace", "-f", "-", stdin=text(pod), code=1)
    assert "pod updates may not change fields" in refused, "its manifest lacks the volume with its account's token"
    uid = kubectl.json("get", "configmap", "web")["metadata"]["uid"]
    map_only = text([document for document in documents(kubectl.namespace) if document["kind"] == "ConfigMap"])
    forced = kubectl.run("replace", "--force", "-f", "-", stdin=map_only)
    assert forced == 'configmap "web" deleted\nconfigmap/web replaced\n'
    assert kubectl.json("get", "configmap", "web")["metadata"]["uid"] != uid


def test_create_of_kinds_by_flags(kubectl: Kubectl, tmp_path: Path) -> None:
    file = tmp_path / "settings.ini"
    file.write_text("[a]\nb=c\n")
    more = f"{kubectl.namespace}-kinds"
    for arguments, created in (
        (("namespace", more), f"namespace/{more}"),
        (("configmap", "maps", f"--from-file={file}", "--from-literal=k=v"), "configmap/maps"),
        (("secret", "generic", "plain", "--from-literal=k=v"), "secret/plain"),
        (("secret", "docker-registry", "pull", "--docker-username=u", "--docker-password=p"), "secret/pull"),
        (("service", "clusterip", "inner", "--tcp=80:8080"), "service/inner"),
        (("service", "clusterip", "headless", "--clusterip=None"), "service/headless"),
        (("service", "nodeport", "outer", "--tcp=80:8080"), "service/outer"),
        (("service", "loadbalancer", "balanced", "--tcp=80"), "service/balanced"),
        (("service", "externalname", "other", "--external-name=example.com"), "service/other"),
        (("deployment", "app", "--image=nginx", "--replicas=2"), "deployment.apps/app"),
        (("job", "once", "--image=busybox", "--", "true"), "job.batch/once"),
        (("serviceaccount", "robot"), "serviceaccount/robot"),
        (("role", "reader", "--verb=get,list", "--resource=pods"), "role.rbac.authorization.k8s.io/reader"),
        (("rolebinding", "readers", "--role=reader", f"--serviceaccount={more}:robot"),
         "rolebinding.rbac.authorization.k8s.io/readers"),
        (("clusterrole", more, "--verb=get", "--resource=nodes"), f"clusterrole.rbac.authorization.k8s.io/{more}"),
        (("clusterrolebinding", more, f"--clusterrole={more}", "--user=eve"),
         f"clusterrolebinding.rbac.authorization.k8s.io/{more}"),
        (("quota", "few", "--hard=pods=100"), "resourcequota/few"),
        (("priorityclass", more, "--value=10"), f"priorityclass.scheduling.k8s.io/{more}"),
        (("ingress", "front", "--rule=example.com/*=inner:80"), "ingress.networking.k8s.io/front"),
    ):  # fmt: skip
        assert kubectl.run("create", *arguments) == f"{created} created\n"
    if not kubectl.is_old:  # 1.20 writes versions of these that are no longer served
        cron = ("create", "cronjob", "nightly", "--image=busybox", "--schedule=0 0 * * *")
        assert kubectl.run(*cron) == "cronjob.batch/nightly created\n"
        budget = ("create", "poddisruptionbudget", "some", "--selector=app=app", "--min-available=1")
        assert kubectl.run(*budget) == "poddisruptionbudget.policy/some created\n"
    assert kubectl.json("get", "configmap", "maps")["data"] == {"settings.ini": "[a]\nb=c\n", "k": "v"}
    assert kubectl.json("get", "secret", "pull")["type"] == "kubernetes.io/dockerconfigjson"
    assert kubectl.json("get", "service", "headless")["spec"]["clusterIP"] == "None"
    assert 30000 <= kubectl.json("get", "service", "outer")["spec"]["ports"][0]["nodePort"] <= 32767
    assert kubectl.json("get", "deployment", "app")["spec"]["replicas"] == 2
    assert kubectl.run("run", "one", "--image=busybox", "--labels=a=b", "--env=K=V", "--port=80") == "pod/one created\n"
    assert kubectl.run("expose", "pod", "one", "--name=exposed") == "service/exposed exposed\n"
    assert kubectl.json("get", "service", "exposed")["spec"]["selector"] == {"a": "b"}
    scaled = kubectl.run("autoscale", "deployment", "app", "--min=1", "--max=3")
    assert scaled == "horizontalpodautoscaler.autoscaling/app autoscaled\n"


# -- apply, diff, edit


def test_apply_by_the_client(kubectl: Kubectl, tmp_path: Path) -> None:
    file, sent = tmp_path / "all.yaml", documents(kubectl.namespace)
    file.write_text(text(sent))
    apply = ("apply", "-f", str(file))
    assert kubectl.run(*apply, "--dry-run=client").splitlines() == lines(kubectl, "created (dry run)")
    assert kubectl.run(*apply, "--dry-run=server").splitlines() == lines(kubectl, "created (server dry run)")
    assert kubectl.run(*apply).splitlines() == lines(kubectl, "created")
    assert kubectl.run(*apply).splitlines() == lines(kubectl, "unchanged")
    settled(kubectl)
    versions = kubectl.run("get", "-f", str(file), "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    assert kubectl.run(*apply).splitlines() == lines(kubectl, "unchanged")
    again = kubectl.run("get", "-f", str(file), "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    assert again == versions
    kubectl.run("label", "-f", str(file), "by=hand")
    file.write_text(text(sent, tier="front"))
    assert kubectl.run(*apply).splitlines() == lines(kubectl, "configured")
    labels = kubectl.run("get", "-f", str(file), "-o", "jsonpath={.items[*].metadata.labels.by}")
    assert labels.split() == ["hand"] * len(sent)
    assert "tier: front" in kubectl.run("apply", "view-last-applied", "configmap", "web")
    allowed = "--prune-whitelist" if kubectl.is_old else "--prune-allowlist"
    only = text([document for document in sent if document["kind"] == "ConfigMap"], tier="front")
    pruned = kubectl.run("apply", "-f", "-", "--prune", "-l", "tier=front", f"{allowed}=core/v1/Secret", stdin=only)
    assert pruned == "configmap/web unchanged\nsecret/web pruned\n"
    assert kubectl.run("apply", "set-last-applied", "-f", "-", stdin=text(sent[2:3])).startswith("configmap/web")


def test_apply_by_the_server(kubectl: Kubectl, tmp_path: Path) -> None:
    file, sent = tmp_path / "all.yaml", documents(kubectl.namespace)
    file.write_text(text(sent))
    apply = ("apply", "--server-side", "-f", str(file))
    assert kubectl.run(*apply).splitlines() == lines(kubectl, "serverside-applied")
    settled(kubectl)
    versions = kubectl.run("get", "-f", str(file), "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    assert kubectl.run(*apply).splitlines() == lines(kubectl, "serverside-applied")
    again = kubectl.run("get", "-f", str(file), "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    assert again == versions
    file.write_text(text(sent, tier="front"))
    as_other_manager = (*apply, "--field-manager=other")
    clash = kubectl.run(*as_other_manager, code=1)
    assert 'conflict with "kubectl": .metadata.labels.tier' in clash
    assert "Please review the fields above--they currently have other managers" in clash
    assert kubectl.run(*as_other_manager, "--force-conflicts").splitlines() == lines(kubectl, "serverside-applied")
    # a field that a manager no longer names, and nobody else owns, is removed
    file.write_text(text(sent, tier="front", mine="x"))
    kubectl.run(*as_other_manager)
    file.write_text(text(sent, tier="front"))
    kubectl.run(*as_other_manager)
    assert kubectl.json("get", "service", "web")["metadata"]["labels"] == {"tier": "front"}


def test_diff(kubectl: Kubectl, tmp_path: Path) -> None:
    file, sent = tmp_path / "all.yaml", documents(kubectl.namespace)
    file.write_text(text(sent))
    new = kubectl.run("diff", "-f", str(file), code=1)
    assert "+kind: Deployment" in new
    kubectl.run("apply", "-f", str(file))
    assert kubectl.run("diff", "-f", str(file)) == ""
    file.write_text(text(sent, tier="front"))
    changed = kubectl.run("diff", "-f", str(file), code=1)
    assert changed.count("\n-    tier: back\n") == changed.count("\n+    tier: front\n") == len(sent)
    kubectl.run("diff", "--server-side", "--force-conflicts", "-f", str(file), code=1)
    assert kubectl.json("get", "pod", "web")["metadata"]["labels"] == {"tier": "back"}


def test_edit(kubectl: Kubectl, everything: Path, tmp_path: Path) -> None:
    script = editor(tmp_path / "editor", "s/tier: back/tier: front/")
    edited = kubectl.run("edit", "-f", str(everything), **script)
    assert edited.splitlines() == lines(kubectl, "edited")
    assert kubectl.run("edit", "service", "web", **editor(tmp_path / "idle", "s/nothing/else/")) == ""
    refused = kubectl.run("edit", "service", "web", code=1, **editor(tmp_path / "bad", "s/port: 80/port: 99999/"))
    assert "Edit cancelled, no valid changes were saved" in refused
    assert kubectl.json("get", "service", "web")["metadata"]["labels"] == {"tier": "front"}


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


# -- label, annotate, patch, set, scale


def test_label_and_annotate(kubectl: Kubectl, everything: Path) -> None:
    file = str(everything)
    assert kubectl.run("label", "-f", file, "a=1").splitlines() == lines(kubectl, "labeled")
    assert "'a' already has a value (1), and --overwrite is false" in kubectl.run("label", "-f", file, "a=2", code=1)
    assert kubectl.run("label", "-f", file, "a=2", "--overwrite").splitlines() == lines(kubectl, "labeled")
    assert kubectl.run("get", "rc,cm,job", "-l", "a in (2)", "-o", "name").count("/web") == 3
    removed = "labeled" if kubectl.is_old else "unlabeled"
    assert kubectl.run("label", "-f", file, "a-").splitlines() == lines(kubectl, removed)
    assert "must be no more than 63 characters" in kubectl.run("label", "cm", "web", "a=" + "x" * 64, code=1)
    assert kubectl.run("annotate", "-f", file, "note=long text").splitlines() == lines(kubectl, "annotated")
    assert kubectl.json("get", "secret", "web")["metadata"]["annotations"]["note"] == "long text"
    assert kubectl.run("annotate", "-f", file, "note-").splitlines() == lines(kubectl, "annotated")
    assert "note" not in kubectl.json("get", "secret", "web")["metadata"].get("annotations", {})


def test_patch_in_every_type(kubectl: Kubectl, everything: Path) -> None:
    file = str(everything)
    for kind, patch in (
        ("strategic", '{"metadata":{"labels":{"s":"1"}}}'),
        ("merge", '{"metadata":{"labels":{"m":"1"}}}'),
        ("json", '[{"op":"add","path":"/metadata/labels/j","value":"1"}]'),
    ):
        assert kubectl.run("patch", "-f", file, f"--type={kind}", "-p", patch).splitlines() == lines(kubectl, "patched")
        again = kubectl.run("patch", "job", "web", f"--type={kind}", "-p", patch)
        assert again == "job.batch/web patched (no change)\n"
    for item in json.loads(kubectl.run("get", "-f", file, "-o", "json"))["items"]:
        assert item["metadata"]["labels"].items() >= {"s": "1", "m": "1", "j": "1", "tier": "back"}.items()
    merged = kubectl.run("patch", "svc", "web", "-p", '{"spec":{"ports":[{"port":81,"name":"b"}]}}', code=1)
    assert "spec.ports[1].name: Required value" in merged or "spec.ports[0].name: Required value" in merged
    tested = '[{"op":"test","path":"/kind","value":"x"}]'
    broken = kubectl.run("patch", "svc", "web", "--type=json", "-p", tested, code=1)
    assert broken.startswith("The request is invalid")  # 1.20 prints no more
    assert kubectl.is_old or "/kind" in broken
    if not kubectl.is_old:
        patch = '{"status":{"conditions":[{"type":"Odd","status":"True"}]}}'
        assert kubectl.run("patch", "pod", "web", "--subresource=status", "-p", patch) == "pod/web patched\n"
        status = kubectl.json("get", "pod", "web", "--subresource=status")["status"]
        assert "Odd" in [condition["type"] for condition in status["conditions"]]


def test_set(kubectl: Kubectl, everything: Path) -> None:
    assert kubectl.run("set", "image", "rc/web", "c=nginx:2") == "replicationcontroller/web image updated\n"
    assert kubectl.run("set", "env", "deployment/web", "A=B") == "deployment.apps/web env updated\n"
    limited = kubectl.run("set", "resources", "deployment/web", "--limits=cpu=1,memory=1Gi")
    assert limited == "deployment.apps/web resource requirements updated\n"
    assert kubectl.run("set", "selector", "service", "web", "app=other") == "service/web selector updated\n"
    robot = kubectl.run("set", "serviceaccount", "deployment", "web", "robot")
    assert robot == "deployment.apps/web serviceaccount updated\n"
    spec = kubectl.json("get", "deployment", "web")["spec"]["template"]["spec"]
    assert (spec["serviceAccountName"], spec["containers"][0]["env"]) == ("robot", [{"name": "A", "value": "B"}])
    assert kubectl.json("get", "service", "web")["spec"]["selector"] == {"app": "other"}
    assert kubectl.json("get", "rc", "web")["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"


def test_scale_and_rollout(kubectl: Kubectl, everything: Path) -> None:
    assert kubectl.run("scale", "rc", "web", "--replicas=5") == "replicationcontroller/web scaled\n"
    assert kubectl.run("scale", "deployment/web", "rc/web", "--replicas=3").splitlines() == [
        "deployment.apps/web scaled", "replicationcontroller/web scaled",
    ]  # fmt: skip
    wrong = kubectl.run("scale", "rc", "web", "--current-replicas=9", "--replicas=1", code=1)
    assert "Expected replicas to be 9, was 3" in wrong.replace("error: ", "")
    kubectl.run("scale", "rc", "web", "--current-replicas=3", "--replicas=2")
    assert kubectl.json("get", "rc", "web")["spec"]["replicas"] == 2
    for verb, done in (("pause", "paused"), ("resume", "resumed"), ("restart", "restarted")):
        assert kubectl.run("rollout", verb, "deployment/web") == f"deployment.apps/web {done}\n"
    template = kubectl.json("get", "deployment", "web")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert "deployment.apps/web" in kubectl.run("rollout", "history", "deployment/web")
    assert "no rollout history found" in kubectl.run("rollout", "undo", "deployment/web", code=1)
    waiting = kubectl.run("rollout", "status", "deployment/web", "--watch=false")
    assert waiting.startswith("Waiting for deployment")


# -- wait, auth, discovery, nodes


def test_wait(kubectl: Kubectl) -> None:
    kubectl.run("run", "one", "--image=busybox")
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
