"""The verbs over HTTP, against a real apiserver and etcd."""

import json
import subprocess
import time

from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from tests.integration.apiserver_process import ApiserverProcess
from tests.support import eventually


async def test_kubectl_applies_reads_and_deletes(apiserver: ApiserverProcess) -> None:
    def kubectl(*arguments: str) -> str:
        done = subprocess.run(
            ["kubectl", *arguments], env=apiserver.environment(), capture_output=True, text=True, check=True
        )
        return done.stdout

    assert "namespace/shop created" in kubectl("create", "namespace", "shop")
    assert "configmap/menu created" in kubectl("create", "configmap", "menu", "--from-literal=a=b", "-n", "shop")
    assert "menu" in kubectl("get", "configmaps", "-n", "shop")


async def test_what_is_created_is_read_back_with_its_defaults(apiserver: ApiserverProcess) -> None:
    pod = v1.Pod(
        metadata=ObjectMeta(name="a", namespace="default"),
        spec=v1.PodSpec(containers=[v1.Container(name="c", image="nginx:1")]),
    )
    async with apiserver.client() as client:
        pods = client.resource(v1.Pod)
        created = await pods.create(pod)
        read = await pods.get("a", namespace="default")
    assert read == created
    assert read.spec.restart_policy == "Always"
    assert read.spec.containers[0].image_pull_policy == "IfNotPresent"


async def test_an_apply_that_changes_nothing_spends_no_revision(apiserver: ApiserverProcess) -> None:
    """Also when time has passed, which managedFields would otherwise tell, and when defaults fill a list."""
    template = {
        "metadata": {"labels": {"app": "sum"}},
        "spec": {"containers": [{"name": "c", "image": "x", "args": ["1"]}], "tolerations": [{"operator": "Exists"}]},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "sum"},
        "spec": {"selector": {"matchLabels": {"app": "sum"}}, "template": template},
    }
    async with apiserver.http() as client:

        async def apply() -> str:
            reply = await client.patch(
                "/apis/apps/v1/namespaces/default/deployments/sum?fieldManager=me",
                content=json.dumps(deployment),
                headers={"Content-Type": "application/apply-patch+yaml"},
            )
            assert reply.is_success, reply.text
            version: str = reply.json()["metadata"]["resourceVersion"]
            return version

        first, second = await apply(), int(time.time())
        await eventually(lambda: int(time.time()) > second)
        assert await apply() == first
