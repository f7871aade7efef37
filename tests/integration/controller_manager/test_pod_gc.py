"""Pod garbage collection against a real apiserver, without the minute that it takes in production."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from apimachinery import meta
from apimachinery.types.core_v1 import Node, Pod
from component_base.flags import parse
from controller_manager.context import ControllerContext
from controller_manager.controller_options import ControllerOptions
from controller_manager.pod_gc import PodGarbageCollector
from kube_client import Client, EventRecorder, InformerFactory
from tests.objects import make_node, make_pod
from tests.support import eventually


@pytest.fixture
async def context(client: Client) -> AsyncIterator[ControllerContext]:
    recorder = EventRecorder(client, "controller-manager")
    context = ControllerContext(client, InformerFactory(client), recorder, parse(ControllerOptions, "tests", "", []))
    task = asyncio.create_task(context.informers.run())
    yield context
    task.cancel()
    await asyncio.wait([task])


async def names(client: Client) -> set[str]:
    return {meta.name_of(pod) for pod in (await client.resource(Pod).list(namespace="default")).items}


async def caches_show(context: ControllerContext, *, nodes: int, pods: int) -> None:
    await eventually(lambda: len(context.informer(Node)) == nodes and len(context.informer(Pod)) == pods)


async def test_pods_of_a_node_that_is_gone_are_deleted_after_the_quarantine(
    client: Client, context: ControllerContext
) -> None:
    nodes, pods = client.resource(Node), client.resource(Pod)
    for node in ("n1", "n2"):
        await nodes.create(make_node(node))
        await pods.create(make_pod(f"on-{node}", node=node))
    await pods.create(make_pod("waiting"))
    collector = PodGarbageCollector(context, quarantine=0.3)
    await nodes.delete("n1")
    await caches_show(context, nodes=1, pods=3)
    await collector.collect()
    assert await names(client) == {"on-n1", "on-n2", "waiting"}
    await asyncio.sleep(0.3)  # the quarantine itself
    await collector.collect()
    assert await names(client) == {"on-n2", "waiting"}


async def test_a_node_that_the_cache_does_not_show_yet_costs_no_pod(client: Client, context: ControllerContext) -> None:
    await client.resource(Node).create(make_node("n1"))
    await client.resource(Pod).create(make_pod("a", node="n1"))
    collector = PodGarbageCollector(context, quarantine=0.0)
    await caches_show(context, nodes=1, pods=1)
    context.informer(Node)._delete(meta.Key("", "n1"))  # a watch that lags behind
    await collector.collect()
    assert await names(client) == {"a"}
