"""kubectl's verbs that change objects, with the oldest and the newest supported client, against a whole cluster."""

import json
from pathlib import Path

from tests.e2e.kubectl_clients import (
    KINDS,
    ROOT_CA,
    Kubectl,
    documents,
    editor,
    lines,
    resource_name,
    settled,
    text,
)
from tests.e2e.lab import eventually

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
    def replace_all() -> str:
        """The manifests; raises AssertionError where a controller wrote one of the objects in the meantime."""
        manifests = kubectl.run("get", "-f", str(everything), "-o", "yaml").replace("tier: back", "tier: front")
        assert kubectl.run("replace", "-f", "-", stdin=manifests).splitlines() == lines(kubectl, "replaced")
        return manifests

    manifests = eventually(replace_all)
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

    def versions() -> str:
        return kubectl.run("get", "-f", str(file), "-o", "jsonpath={.items[*].metadata.resourceVersion}")

    def writes_nothing() -> bool:
        """False if a status was written in the meantime."""
        before = versions()
        assert kubectl.run(*apply).splitlines() == lines(kubectl, "unchanged")
        return versions() == before

    eventually(writes_nothing)
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
