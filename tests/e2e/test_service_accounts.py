"""Programs in pods use the API as their service account, with each client library; and storage outlives pods."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from deploy.lab.lab import CHECKOUT
from tests.e2e.lab import Lab, eventually, is_ready, sleeper

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

OUR_CLIENT = """
import asyncio
from apimachinery.types import core_v1
from kube_client import Client, load_config

async def main():
    async with Client(load_config(None), user_agent="in-cluster") as client:
        pods = await client.resource(core_v1.Pod).list(namespace=load_config(None).namespace)
        print(*sorted(pod.metadata.name for pod in pods.items))

asyncio.run(main())
"""

OFFICIAL_CLIENT = """
from kubernetes import client, config
config.load_incluster_config()
pods = client.CoreV1Api().list_namespaced_pod(open("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read())
print(*sorted(pod.metadata.name for pod in pods.items))
"""


def workbench(name: str, **spec: Any) -> dict[str, Any]:
    """A pod with this machine's programs, read-only: Python with our packages, curl and their libraries."""
    places = {str(CHECKOUT), sys.base_prefix, "/usr", "/lib", "/lib64"}
    folders = sorted(place for place in places if not any(place.startswith(f"{parent}/") for parent in places))
    volumes = [{"name": f"v{i}", "hostPath": {"path": place}} for i, place in enumerate(folders)]
    pod = sleeper(name, **spec)
    pod["spec"]["volumes"] = volumes
    pod["spec"]["containers"][0]["volumeMounts"] = [
        {"name": volume["name"], "mountPath": volume["hostPath"]["path"], "readOnly": True} for volume in volumes
    ]
    return pod


def ready(lab: Lab, name: str, namespace: str) -> dict[str, Any]:
    pods = eventually(lambda: [pod for pod in lab.items("pods", "-n", namespace) if is_ready(pod)], 60)
    return next(pod for pod in pods if pod["metadata"]["name"] == name)


def test_programs_in_a_pod_find_the_api(lab: Lab) -> None:
    """A pod created right after its namespace has an account; its token works from curl and two client libraries."""
    with lab.namespace("in-cluster") as namespace:
        lab.apply(workbench("bench"), namespace=namespace)
        ready(lab, "bench", namespace)

        def run(*command: str) -> str:
            return lab.kubectl("exec", "-n", namespace, "bench", "--", *command)

        assert run("cat", f"{ACCOUNT}/namespace") == namespace
        script = (
            f'curl -sS --fail --cacert {ACCOUNT}/ca.crt -H "Authorization: Bearer $(cat {ACCOUNT}/token)" '
            "https://kubernetes.default.svc/apis/authentication.k8s.io/v1/selfsubjectreviews "
            "-H 'Content-Type: application/json' "
            '-d \'{"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}\''
        )
        assert f"system:serviceaccount:{namespace}:default" in run("sh", "-c", script)
        python = str(CHECKOUT / ".venv/bin/python")
        refused = lab.kubectl("exec", "-n", namespace, "bench", "--", python, "-c", OFFICIAL_CLIENT, check=False)
        assert "Forbidden" in refused, "an account may do nothing until a role is bound to it"
        account = f"--serviceaccount={namespace}:default"
        lab.kubectl("create", "rolebinding", "-n", namespace, "viewer", "--clusterrole=view", account)
        assert run("env", f"PYTHONPATH={CHECKOUT}", python, "-c", OUR_CLIENT).split() == ["bench"]
        assert run(python, "-c", OFFICIAL_CLIENT).split() == ["bench"]


def test_the_token_of_a_pod_ends_with_the_pod(lab: Lab) -> None:
    with lab.namespace("ended") as namespace:
        lab.apply(sleeper("short"), namespace=namespace)
        ready(lab, "short", namespace)
        token = lab.kubectl("exec", "-n", namespace, "short", "--", "cat", f"{ACCOUNT}/token")

        def status() -> str:
            done = lab.in_node(
                "master", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert",
                str(lab.state / "pki/ca.crt"), "-H", f"Authorization: Bearer {token}", f"{lab.lab.server}/apis",
            )  # fmt: skip
            return done.stdout

        assert status() == "200"
        lab.kubectl("delete", "pod", "-n", namespace, "short", "--now")
        eventually(lambda: status() == "401", 20)


@pytest.fixture
def disk() -> Any:
    directory = Path(tempfile.mkdtemp(prefix="peapod-disk-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def test_what_a_pod_wrote_is_there_for_the_next_one(lab: Lab, disk: Path) -> None:
    """A local volume of one node: the claim waits for its pod, the pod goes there, and so does the next one."""
    node = lab.nodes[-1]
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "e2e-disk"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "e2e-local",
            "local": {"path": str(disk)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        },
    }
    storage = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "e2e-local"},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "e2e-local",
            "resources": {"requests": {"storage": "500Mi"}},
        },
    }

    def user(name: str, command: str) -> dict[str, Any]:
        pod = sleeper(name, ("sh", "-c", f"{command}; sleep 3600"))
        pod["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        return pod

    try:
        with lab.namespace("stateful") as namespace:
            lab.apply(storage, volume, claim, namespace=namespace)
            lab.apply(user("writer", "echo hello > /data/f"), namespace=namespace)
            assert ready(lab, "writer", namespace)["spec"]["nodeName"] == node
            lab.kubectl("delete", "pod", "-n", namespace, "writer", "--now")
            lab.apply(user("reader", "true"), namespace=namespace)
            assert ready(lab, "reader", namespace)["spec"]["nodeName"] == node
            assert lab.kubectl("exec", "-n", namespace, "reader", "--", "cat", "/data/f") == "hello\n"
        eventually(lambda: lab.get("pv", "e2e-disk")["status"]["phase"] == "Released", 60)
    finally:
        lab.kubectl("delete", "pv/e2e-disk", "storageclass/e2e-local", "--wait=false", check=False)
