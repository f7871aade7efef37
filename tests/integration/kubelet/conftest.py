"""A cluster of one node for the tests of a module; they share it, each with a namespace of its own."""

import os
import re
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from apimachinery import errors, meta
from apimachinery.types import core_v1, meta_v1
from kube_client import Client, load_config
from tests.integration.kubelet.cluster import NODE, POD_CIDR, Cluster, name_of_namespace, own_namespace
from tests.support import eventually


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if os.geteuid():
        pytest.skip("needs root")
    with own_namespace(name_of_namespace()):
        # Not pytest's folder: the path of the engine's sockets must stay short.
        made = Cluster(Path(tempfile.mkdtemp(prefix="kubelet-")))
        try:
            made.start()
            yield made
        finally:
            made.stop()


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with Client(load_config(cluster.kubeconfig), user_agent="test") as made:
        yield made


@pytest.fixture
async def node(client: Client) -> core_v1.Node:
    """The kubelet's node, Ready, with a pod CIDR, and the apiserver with the rights by which it reaches the kubelet."""
    nodes = client.resource(core_v1.Node)

    async def is_ready() -> bool:
        try:
            return await client.request("GET", "/readyz") == b"ok"
        except errors.ApiError:
            return False

    await eventually(is_ready, timeout=30)

    async def registered() -> core_v1.Node | None:
        try:
            return await nodes.get(NODE)
        except (errors.NotFound, errors.ServiceUnavailable):
            return None

    node = await eventually(registered, timeout=30)
    assert node is not None
    if not node.spec.pod_cidr:
        await nodes.patch(NODE, {"spec": {"podCIDR": POD_CIDR, "podCIDRs": [POD_CIDR]}})

    async def ready() -> core_v1.Node | None:
        now = await nodes.get(NODE)
        return now if condition_of(now, "Ready") == "True" else None

    answer = await eventually(ready, timeout=15)
    assert answer is not None
    return answer


@pytest.fixture
async def empty_node(cluster: Cluster, client: Client, node: core_v1.Node) -> None:
    """No pod of another test is on the node: which is evicted first is between those of this test."""
    pods = client.resource(core_v1.Pod)
    for pod in (await pods.list()).items:
        await pods.delete(meta.name_of(pod), namespace=meta.namespace_of(pod), grace_period_seconds=0)
    with cluster.docker() as engine:
        await eventually(lambda: not engine.containers(all=True), timeout=30, interval=0.1)


@pytest.fixture
async def namespace(client: Client, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    label = re.sub("[^a-z0-9]+", "-", request.node.name.lower())
    name = f"{label[:40].strip('-')}-{zlib.crc32(label.encode()):08x}"  # parameters stand at a name's end
    namespaces = client.resource(core_v1.Namespace)

    async def created() -> bool:
        try:
            await namespaces.create(core_v1.Namespace(metadata=meta_v1.ObjectMeta(name=name)))
        except errors.AlreadyExists:
            return True
        except errors.ServiceUnavailable:  # the module's apiserver is starting
            return False
        return True

    await eventually(created, timeout=30)
    return name


def condition_of(node: core_v1.Node, type: str) -> str:
    return next((condition.status for condition in node.status.conditions or () if condition.type == type), "")
