"""Service accounts' tokens in pods' files: bound, private, replaced before they expire."""

import base64
import json
from typing import Any

import pytest

from apimachinery.types import core_v1, meta_v1
from kube_client import Client
from tests.integration.kubelet.cluster import NODE, Cluster
from tests.integration.kubelet.pods import Pods, container, container_id, is_ready, uid_of
from tests.integration.kubelet.test_pods import run_in
from tests.support import eventually

PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


@pytest.fixture
async def account(client: Client, namespace: str) -> None:
    made = core_v1.ServiceAccount(metadata=meta_v1.ObjectMeta(name="robot", namespace=namespace))
    await client.resource(core_v1.ServiceAccount).create(made)


def token_volume(**projection: Any) -> core_v1.Volume:
    token = core_v1.ServiceAccountTokenProjection(path="token", expiration_seconds=3607, **projection)
    source = core_v1.ProjectedVolumeSource(sources=[core_v1.VolumeProjection(service_account_token=token)])
    return core_v1.Volume(name="api", projected=source)


def mounted(**fields: Any) -> core_v1.Container:
    return container(volume_mounts=[core_v1.VolumeMount(name="api", mount_path=PATH, read_only=True)], **fields)


async def test_a_pod_holds_a_token_of_its_own(pods: Pods, cluster: Cluster, account: None) -> None:
    pod = await pods.running("a", mounted(), volumes=[token_volume()], service_account_name="robot")
    token = run_in(cluster, container_id(pod), "cat", f"{PATH}/token")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["kubernetes.io"]["pod"] == {"name": "a", "uid": uid_of(pod)}
    assert claims["kubernetes.io"]["node"]["name"] == NODE
    assert claims["kubernetes.io"]["serviceaccount"]["name"] == "robot"
    assert run_in(cluster, container_id(pod), "stat", "-L", "-c", "%a", f"{PATH}/token") == "644\n"


async def test_a_token_is_for_the_pods_user_and_group_alone(pods: Pods, cluster: Cluster, account: None) -> None:
    security = core_v1.PodSecurityContext(run_as_user=1000, fs_group=2000)
    spec: dict[str, Any] = {"volumes": [token_volume()], "service_account_name": "robot"}
    pod = await pods.running("b", mounted(), security_context=security, **spec)
    output = run_in(cluster, container_id(pod), "stat", "-L", "-c", "%a %u %g", f"{PATH}/token")
    assert output == "640 1000 2000\n"
    assert run_in(cluster, container_id(pod), "cat", f"{PATH}/token").count(".") == 2


async def test_a_pod_of_an_account_that_is_not_there_waits(pods: Pods, client: Client, namespace: str) -> None:
    await pods.create("c", mounted(), volumes=[token_volume()], service_account_name="late")
    events = client.resource(core_v1.Event)

    async def message() -> str:
        recorded = (await events.list(namespace=namespace)).items
        return "".join(event.message or "" for event in recorded if event.reason == "FailedMount")

    text = await eventually(message)
    assert 'MountVolume.SetUp failed for volume "api" : failed to fetch token: serviceaccounts "late" not found' in text
    made = core_v1.ServiceAccount(metadata=meta_v1.ObjectMeta(name="late", namespace=namespace))
    await client.resource(core_v1.ServiceAccount).create(made)
    await pods.until("c", is_ready, timeout=30)


async def test_a_restarted_kubelet_gives_a_running_pod_a_token_that_holds(
    pods: Pods, cluster: Cluster, account: None
) -> None:
    pod = await pods.running("d", mounted(), volumes=[token_volume()], service_account_name="robot")
    before = run_in(cluster, container_id(pod), "cat", f"{PATH}/token")
    cluster.restart_kubelet()
    await eventually(lambda: run_in(cluster, container_id(pod), "cat", f"{PATH}/token") != before, timeout=30)
    after = await pods.get("d")
    assert container_id(after) == container_id(pod)


async def test_the_token_of_a_pod_that_went_is_refused(
    pods: Pods, cluster: Cluster, client: Client, namespace: str, account: None
) -> None:
    pod = await pods.running("e", mounted(), volumes=[token_volume()], service_account_name="robot")
    token = run_in(cluster, container_id(pod), "cat", f"{PATH}/token")
    await pods.delete("e", grace=0)
    await pods.until_gone("e")
    review = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}}

    async def refused() -> bool:
        answer = await client.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=_json(review))
        return not json.loads(answer)["status"].get("authenticated")

    await eventually(refused)
    await eventually(lambda: not (cluster.root / "pods" / uid_of(pod)).exists())


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
