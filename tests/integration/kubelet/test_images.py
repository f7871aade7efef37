"""Pulls with credentials, and image garbage collection on a real engine."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from apimachinery.types import core_v1
from deploy.images.archive import layer
from deploy.images.build import PAUSE, busybox_tree, dynamic_busybox
from kube_client import Client
from kubelet.image_gc import ImageCollector, Policy
from kubelet.runtime import Defaults, Engine, Runtime
from tests.integration.kubelet.cluster import Cluster
from tests.integration.kubelet.pods import Pods, container, is_ready, status_of
from tests.integration.kubelet.registry import serve_image

LOGIN = ("robot", "s3cret:!")


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


@contextmanager
def serve(cluster: Cluster, tag: str, login: tuple[str, str] | None = None) -> Iterator[str]:
    tree = layer(busybox_tree(dynamic_busybox(cluster.directory / "cache")))
    with serve_image("team/private", tag, tree, {"Cmd": ["sh"], "Labels": {"tag": tag}}, login) as image:
        yield image


def pull_secret(namespace: str, registry: str, login: tuple[str, str]) -> core_v1.Secret:
    auth = base64.b64encode(":".join(login).encode()).decode()
    document = json.dumps({"auths": {registry: {"auth": auth}}}).encode()
    secret = core_v1.Secret(type="kubernetes.io/dockerconfigjson")
    secret.metadata.name, secret.metadata.namespace = "pull", namespace
    secret.data = {".dockerconfigjson": base64.b64encode(document).decode()}
    return secret


async def test_a_private_image_needs_its_pull_secret(
    pods: Pods, cluster: Cluster, client: Client, namespace: str
) -> None:
    with serve(cluster, "auth", LOGIN) as image:
        await pods.create("without", container(image=image))
        await pods.until("without", waits_for("ErrImagePull"))
        await pods.until("without", waits_for("ImagePullBackOff"))
        await client.resource(core_v1.Secret).create(pull_secret(namespace, image.partition("/")[0], LOGIN))
        secrets = [core_v1.LocalObjectReference(name="pull")]
        found = await pods.running("with", container(image=image), image_pull_secrets=secrets)
        assert status_of(found).image == image


async def test_a_wrong_or_missing_pull_secret_is_told(pods: Pods, cluster: Cluster, client: Client) -> None:
    with serve(cluster, "missing", LOGIN) as image:
        secrets = [core_v1.LocalObjectReference(name="nowhere")]
        found = await pods.create("lost", container(image=image), image_pull_secrets=secrets)
        await pods.until("lost", waits_for("ImagePullBackOff"))
        page = await client.resource(core_v1.Event).list(
            namespace=found.metadata.namespace, field_selector=f"involvedObject.uid={found.metadata.uid}"
        )
        assert "FailedToRetrieveImagePullSecret" in {one.reason for one in page.items}


def waits_for(reason: str):  # type: ignore[no-untyped-def]
    def check(pod: core_v1.Pod) -> bool:
        state = status_of(pod).state.waiting
        return state is not None and state.reason == reason

    return check


async def test_images_that_nothing_needs_are_removed(pods: Pods, cluster: Cluster) -> None:
    with serve(cluster, "gc") as image, serve(cluster, "kept") as kept:
        await pods.running("keeps", container(image=kept))
        await pods.running("leaves", container(image=image))
        runtime = Runtime(Engine(f"unix://{cluster.docker_socket}"), Defaults("peapod", PAUSE))
        wanted: set[str] = set()
        collector = ImageCollector(runtime, Policy(), lambda: wanted, lambda reason, message: None)

        async def names() -> set[str]:
            await runtime.containers.relist()
            await collector.free_all()
            return {name for one in await runtime.images.list() for name in one.names}

        assert {image, kept, PAUSE} <= await names()
        await pods.delete("leaves")
        await pods.until_gone("leaves")
        wanted.add(image)  # another pod was bound, and has not begun yet
        assert image in await names()
        wanted.clear()
        left = await names()
        assert image not in left
        assert {kept, PAUSE, "peapod/busybox:latest"} <= left
        disk = await collector.disk()
        assert 0 < disk.used < disk.capacity
        assert is_ready(await pods.get("keeps"))
