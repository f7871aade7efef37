"""Pod garbage collection against a real apiserver, without the minute that it takes in production."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from apimachinery import meta
from apimachinery.types.core_v1 import Node, Pod
from controller_manager.informers import Informers
from controller_manager.pod_gc import PodGarbageCollector
from kube_client import Client
from tests.objects import make_node, make_pod
from tests.support import eventually


@pytest.fixture
async def informers(client: Client) -> AsyncIterator[Informers]:
    found = Informers(client)
    task = asyncio.create_task(found.run())
    await found.wait()
    yield found
    task.cancel()
    await asyncio.wait([task])


async def names(client: Client) -> set[str]:
    return {meta.name_of(pod) for pod in (await client.resource(Pod).list(namespace="default")).items}


async def test_pods_of_a_node_that_is_gone_go_after_the_quarantine(client: Client, informers: Informers) -> None:
    nodes, pods = client.resource(Node), client.resource(Pod)
    for node in ("n1", "n2"):
        await nodes.create(make_node(node))
        await pods.create(make_pod(f"on-{node}", node=node))
    await pods.create(make_pod("waiting"))
    collector = PodGarbageCollector(client, informers, 0, quarantine=0.3)
    await nodes.delete("n1")
    await eventually(lambda: len(informers.nodes) == 1 and len(informers.pods) == 3)
    await collector.collect()
    assert await names(client) == {"on-n1", "on-n2", "waiting"}
    await asyncio.sleep(0.3)  # the quarantine itself
    await collector.collect()
    assert await names(client) == {"on-n2", "waiting"}


async def test_a_node_that_the_cache_does_not_show_yet_costs_no_pod(client: Client, informers: Informers) -> None:
    await client.resource(Node).create(make_node("n1"))
    await client.resource(Pod).create(make_pod("a", node="n1"))
    await eventually(lambda: len(informers.nodes) == 1 and len(informers.pods) == 1)
    informers.nodes._delete(meta.Key("", "n1"))  # a watch that lags behind
    await PodGarbageCollector(client, informers, 0, quarantine=0.0).collect()
    assert await names(client) == {"a"}
