"""kubectl 1.32 as people type it, without flags that help it along."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from tests.integration.apiserver.objects import name_of
from tests.integration.apiserver_process import ApiserverProcess
from tests.support import eventually

MANIFEST = """
apiVersion: v1
kind: ReplicationController
metadata:
  name: web
spec:
  replicas: 2
  selector: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - {name: web, image: "busybox:1.36", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports:
  - port: 80
"""


class Kubectl:
    def __init__(self, server: ApiserverProcess, namespace: str) -> None:
        self._environment, self._namespace = server.environment(), namespace

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["kubectl", "-n", self._namespace, *arguments], env=self._environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    async def run(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        """What it prints; both streams if it is to fail."""
        process = self.start(*arguments)
        out, err = await asyncio.to_thread(process.communicate, stdin, 30)
        assert process.returncode == code, f"kubectl {' '.join(arguments)}: {out}{err}"
        return out + err if code else out


@pytest.fixture
def kubectl(shared: ApiserverProcess, ns: str) -> Kubectl:
    return Kubectl(shared, name_of(ns))


async def test_apply_get_diff_and_delete(kubectl: Kubectl, tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(MANIFEST)
    assert await kubectl.run("apply", "-f", str(file)) == "replicationcontroller/web created\nservice/web created\n"
    again = await kubectl.run("apply", "-f", str(file))
    assert again == "replicationcontroller/web unchanged\nservice/web unchanged\n"
    wide = await kubectl.run("get", "rc", "-o", "wide")
    assert wide.split("\n")[0].split() == [
        "NAME", "DESIRED", "CURRENT", "READY", "AGE", "CONTAINERS", "IMAGES", "SELECTOR",
    ]  # fmt: skip
    assert wide.split("\n")[1].split()[:4] == ["web", "2", "0", "0"]
    assert await kubectl.run("diff", "-f", str(file)) == ""
    file.write_text(MANIFEST.replace("replicas: 2", "replicas: 3"))
    assert "+  replicas: 3" in await kubectl.run("diff", "-f", str(file), code=1)
    assert "web configured" in await kubectl.run("apply", "-f", str(file))
    file.write_text(MANIFEST.replace("replicas: 2", "replicaz: 2"))
    assert 'unknown field "spec.replicaz"' in await kubectl.run("apply", "-f", str(file), code=1)
    assert "deleted" in await kubectl.run("delete", "-f", str(file))
    assert (await kubectl.run("get", "rc,svc", "-o", "name")) == ""


async def test_server_side_apply_tells_who_owns_a_field(kubectl: Kubectl) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '%s'}\n"
    first = await kubectl.run("apply", "--server-side", "--field-manager=alice", "-f", "-", stdin=text % 1)
    assert first == "configmap/a serverside-applied\n"
    clash = await kubectl.run("apply", "--server-side", "--field-manager=bob", "-f", "-", stdin=text % 2, code=1)
    assert 'conflict with "alice": .data.x' in clash
    forced = ("apply", "--server-side", "--force-conflicts", "--field-manager=bob", "-f", "-")
    assert "serverside-applied" in await kubectl.run(*forced, stdin=text % 2)
    assert (await kubectl.run("get", "cm", "a", "-o", "jsonpath={.data.x}")) == "2"


async def test_create_in_protobuf(kubectl: Kubectl, ns: str) -> None:
    name = f"{name_of(ns)}-made"
    assert await kubectl.run("create", "namespace", name) == f"namespace/{name} created\n"
    assert "created" in await kubectl.run("create", "configmap", "cm", "--from-literal=a=b")
    assert "created" in await kubectl.run("create", "secret", "generic", "s", "--from-literal=a=b")
    assert "created" in await kubectl.run("create", "service", "clusterip", "svc", "--tcp=80:8080")
    assert json.loads(await kubectl.run("get", "secret", "s", "-o", "json"))["data"] == {"a": "Yg=="}
    assert "(server dry run)" in await kubectl.run("create", "configmap", "dry", "--dry-run=server")
    assert "NotFound" in await kubectl.run("get", "configmap", "dry", code=1)
    assert "already exists" in await kubectl.run("create", "configmap", "cm", code=1)


async def test_label_annotate_scale_patch_and_replace(kubectl: Kubectl) -> None:
    await kubectl.run("apply", "-f", "-", stdin=MANIFEST)
    assert await kubectl.run("label", "svc", "web", "tier=front") == "service/web labeled\n"
    assert "web" in await kubectl.run("get", "svc", "-l", "tier in (front)")
    assert await kubectl.run("label", "svc", "web", "tier-") == "service/web unlabeled\n"
    assert "annotated" in await kubectl.run("annotate", "svc", "web", "a=b")
    assert "scaled" in await kubectl.run("scale", "rc", "web", "--replicas=5")
    assert "scaled" in await kubectl.run("scale", "rc", "web", "--current-replicas=5", "--replicas=4")
    assert (await kubectl.run("get", "rc", "web", "-o", "jsonpath={.spec.replicas}")) == "4"
    assert "patched" in await kubectl.run("patch", "rc", "web", "-p", '{"spec":{"replicas":1}}')
    assert "image updated" in await kubectl.run("set", "image", "rc/web", "web=nginx:2")
    replaced = (await kubectl.run("get", "rc", "web", "-o", "yaml")).replace("replicas: 1", "replicas: 2", 1)
    assert "replaced" in await kubectl.run("replace", "-f", "-", stdin=replaced)


async def test_describe_explain_and_api_resources(kubectl: Kubectl) -> None:
    await kubectl.run("apply", "-f", "-", stdin=MANIFEST)
    assert "Selector:" in await kubectl.run("describe", "rc", "web")
    described = await kubectl.run("describe", "svc", "web")
    assert "TargetPort:" in described
    await kubectl.run("run", "one", "--image=busybox")
    pod = await kubectl.run("describe", "pod", "one")
    assert "Pending" in pod.partition("Status:")[2].splitlines()[0]
    assert "Tolerations:" in pod
    explained = " ".join((await kubectl.run("explain", "pod.spec.containers")).split())
    assert "One container of a pod." in explained
    assert "image <string> The image to run, such as nginx:1.27" in explained
    deep = await kubectl.run("explain", "pod.spec.containers", "--recursive")
    assert "containerPort" in deep
    assert "One container of a pod." in deep
    resources = await kubectl.run("api-resources", "--no-headers")
    assert {line.split()[0] for line in resources.splitlines()} >= {"pods", "services", "leases", "nodes"}
    assert "coordination.k8s.io/v1" in await kubectl.run("api-versions")
    assert "Server Version: v1.32" in await kubectl.run("version")


async def test_get_watches_rows_and_wait_returns(kubectl: Kubectl) -> None:
    await kubectl.run("run", "one", "--image=busybox")
    watching = kubectl.start("get", "pods", "-w")
    try:
        assert watching.stdout is not None
        first = [await asyncio.to_thread(watching.stdout.readline) for _ in range(2)]
        assert first[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        assert first[1].split()[:3] == ["one", "0/1", "Pending"]
        await kubectl.run("label", "pod", "one", "a=b")
        assert (await asyncio.to_thread(watching.stdout.readline)).split()[0] == "one"
    finally:
        watching.kill()
        await asyncio.to_thread(watching.communicate)
    one = kubectl.start("get", "pod", "one", "-w", "--output-watch-events")
    try:
        assert one.stdout is not None
        lines = [await asyncio.to_thread(one.stdout.readline) for _ in range(2)]
        assert lines[1].split()[:2] == ["ADDED", "one"]
    finally:
        one.kill()
        await asyncio.to_thread(one.communicate)
    waiting = kubectl.start("wait", "--for=delete", "pod/one", "--timeout=20s")
    await kubectl.run("delete", "pod", "one")
    out, err = await asyncio.to_thread(waiting.communicate)
    assert waiting.returncode == 0, out + err
    await eventually(lambda: waiting.poll() == 0)


async def test_delete_rehearsed_by_the_server_deletes_nothing(kubectl: Kubectl) -> None:
    await kubectl.run("create", "configmap", "cm")
    assert "deleted (server dry run)" in await kubectl.run("delete", "configmap", "cm", "--dry-run=server")
    assert await kubectl.run("get", "configmap", "cm", "-o", "name") == "configmap/cm\n"
    assert "deleted" in await kubectl.run("delete", "configmap", "--all")
