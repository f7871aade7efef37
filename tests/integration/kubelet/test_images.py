"""Pulls with credentials, and image garbage collection on a real engine."""

import asyncio
import base64
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from apimachinery import errors
from apimachinery.types import core_v1
from deploy.images.archive import layer
from deploy.images.build import PAUSE, busybox_tree, dynamic_busybox
from kube_client import Client, EventRecorder
from kubelet.resources.image_gc import ImageCollector, Policy
from kubelet.runtime import Defaults, Engine, Runtime
from tests.integration.kubelet.cluster import ADDRESS, Cluster
from tests.integration.kubelet.pods import Pods, container, is_ready, status_of, waits_for
from tests.integration.kubelet.registry import serve_image

LOGIN = ("robot", "s3cret:!")


class Events(EventRecorder):
    """Keeps events instead of writing them."""

    def __init__(self) -> None:
        self.recorded: list[str] = []

    def event(self, obj: Any, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.recorded.append(f"{reason}: {message}")


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


@contextmanager
def serve(
    cluster: Cluster, tag: str, login: tuple[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    tree = layer(busybox_tree(dynamic_busybox(cluster.directory / "cache")))
    with serve_image("team/private", tag, tree, {"Cmd": ["sh"], "Labels": {"tag": tag}}, login, tls) as image:
        yield image


@contextmanager
def hanging_registry() -> Iterator[str]:
    """One that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}/team/stuck:1"


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
        pod = await pods.running("with", container(image=image), image_pull_secrets=secrets)
        assert status_of(pod).image == image


async def test_a_wrong_or_missing_pull_secret_is_told(pods: Pods, cluster: Cluster, client: Client) -> None:
    with serve(cluster, "missing", LOGIN) as image:
        secrets = [core_v1.LocalObjectReference(name="nowhere")]
        pod = await pods.create("lost", container(image=image), image_pull_secrets=secrets)
        await pods.until("lost", waits_for("ImagePullBackOff"))
        page = await client.resource(core_v1.Event).list(
            namespace=pod.metadata.namespace, field_selector=f"involvedObject.uid={pod.metadata.uid}"
        )
        assert "FailedToRetrieveImagePullSecret" in {event.reason for event in page.items}


async def test_a_pull_tells_what_it_does(pods: Pods, cluster: Cluster, client: Client, namespace: str) -> None:
    with serve(cluster, "reported") as image:
        pod = await pods.running("p", container(image=image))
        await pods.event(pod, "Pulling", f'Pulling image "{image}"')
        await pods.event(pod, "Pulled", f'Successfully pulled image "{image}" in ')
        again = await pods.running("again", container(image=image))
        await pods.event(again, "Pulled", f'Container image "{image}" already present on machine')
    # The registry is gone: what is here does, unless the policy wants to be sure.
    await pods.running("present", container(image=image))
    await pods.running("never", container(image=image, image_pull_policy="Never"))
    sure = await pods.create("sure", container(image=image, image_pull_policy="Always"))
    await pods.until("sure", waits_for("ErrImagePull"))
    await pods.event(sure, "Failed", f'Failed to pull image "{image}"')
    await pods.event(sure, "Failed", "Error: ErrImagePull")
    await pods.until("sure", waits_for("ImagePullBackOff"))
    with pytest.raises(errors.BadRequest, match='"main" in pod "sure" is waiting to start: trying and failing to pull'):
        await client.request("GET", f"/api/v1/namespaces/{namespace}/pods/sure/log")
    await pods.event(sure, "BackOff", f'Back-off pulling image "{image}"')
    await pods.event(sure, "Failed", "Error: ImagePullBackOff")


async def test_a_registry_with_tls_and_credentials(
    pods: Pods, cluster: Cluster, client: Client, namespace: str
) -> None:
    """The engine trusts any certificate on loopback, and elsewhere only those that the machine's owner has given it."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cluster.file("apiserver.crt"), cluster.file("apiserver.key"))
    with serve(cluster, "tls", LOGIN, tls) as image:
        await client.resource(core_v1.Secret).create(pull_secret(namespace, image.partition("/")[0], LOGIN))
        secrets = [core_v1.LocalObjectReference(name="pull")]
        await pods.running("p", container(image=image), image_pull_secrets=secrets)
        pod = await pods.create("q", container(image=image.replace("127.0.0.1", ADDRESS)))
        await pods.event(pod, "Failed", "x509: certificate signed by unknown authority")


async def test_pulls_go_on_side_by_side(pods: Pods, cluster: Cluster) -> None:
    """One that hangs keeps no other from coming."""
    with hanging_registry() as stuck, serve(cluster, "beside") as image:
        await pods.create("stuck", container(image=stuck))
        await pods.until("stuck", waits_for("ContainerCreating"))
        await pods.running("p", container(image=image))
        assert waits_for("ContainerCreating")(await pods.get("stuck"))
        await pods.delete("stuck", grace=0)
        await pods.until_gone("stuck")


async def test_no_image_goes_between_its_pull_and_its_container(pods: Pods, cluster: Cluster) -> None:
    """A collector that takes everything it may, all the time, while pods come whose images are pulled."""
    runtime = Runtime(Engine(f"unix://{cluster.docker_socket}"), Defaults("peapod", PAUSE))
    needed: set[str] = set()
    collector = ImageCollector(runtime, Policy(), lambda: needed, Events(), core_v1.Node)

    async def collect() -> None:
        while True:
            await runtime.containers.relist()
            await collector.free_all()
            await asyncio.sleep(0)

    collecting = asyncio.create_task(collect())
    try:
        with serve(cluster, "race") as image:
            needed.add(image)  # as soon as a pod is bound to the node
            for number in range(4):
                name = f"p-{number}"
                pod = await pods.running(name, container(image=image, image_pull_policy="Always"))
                assert status_of(pod).restart_count == 0
                await pods.delete(name, grace=0)
                await pods.until_gone(name)
    finally:
        collecting.cancel()
        await asyncio.gather(collecting, return_exceptions=True)


async def test_images_go_when_the_disk_is_too_full(pods: Pods, cluster: Cluster) -> None:
    """A threshold that any disk exceeds; what cannot be freed is reported."""
    with serve(cluster, "full") as image:
        await pods.running("p", container(image=image))
        await pods.delete("p")
        await pods.until_gone("p")
        runtime = Runtime(Engine(f"unix://{cluster.docker_socket}"), Defaults("peapod", PAUSE))
        events = Events()

        def collector(policy: Policy) -> ImageCollector:
            return ImageCollector(runtime, policy, tuple, events, core_v1.Node)

        async def names() -> set[str]:
            return {name for image in await runtime.images.list() for name in image.names}

        await runtime.containers.relist()
        await collector(Policy(high=100, low=99, min_age=0.0)).collect()
        assert image in await names()
        await collector(Policy(high=0, low=0, min_age=3600.0)).collect()
        assert image in await names()  # too young
        events.recorded.clear()
        await collector(Policy(high=0, low=0, min_age=0.0)).collect()
        assert image not in await names()
        assert PAUSE in await names()
        assert events.recorded[0].startswith(
            "FreeDiskSpaceFailed: Failed to garbage collect required amount of images."
        )


async def test_images_that_nothing_needs_are_removed(pods: Pods, cluster: Cluster) -> None:
    with serve(cluster, "gc") as image, serve(cluster, "needed") as needed_image:
        await pods.running("keeps", container(image=needed_image))
        await pods.running("leaves", container(image=image))
        runtime = Runtime(Engine(f"unix://{cluster.docker_socket}"), Defaults("peapod", PAUSE))
        needed: set[str] = set()
        collector = ImageCollector(runtime, Policy(), lambda: needed, Events(), core_v1.Node)

        async def names() -> set[str]:
            await runtime.containers.relist()
            await collector.free_all()
            return {name for image in await runtime.images.list() for name in image.names}

        assert {image, needed_image, PAUSE} <= await names()
        await pods.delete("leaves")
        await pods.until_gone("leaves")
        needed.add(image)  # another pod was bound, and has not started yet
        assert image in await names()
        needed.clear()
        left = await names()
        assert image not in left
        assert {needed_image, PAUSE, "peapod/busybox:latest"} <= left
        disk = await collector.disk()
        assert 0 < disk.used < disk.capacity
        assert is_ready(await pods.get("keeps"))
