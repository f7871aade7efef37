"""Informers that are shared: one watch per set of objects, indexes by whoever needs them, queues that they feed."""

import asyncio
from collections.abc import Hashable
from contextlib import asynccontextmanager

import pytest

from apimachinery import meta, scheme
from apimachinery.meta import Key
from apimachinery.types import core_v1
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.objects import PartialObjectMetadata
from kube_client import Informer, InformerFactory, WorkQueue
from tests.support import eventually

PODS = "/api/v1/namespaces/default/pods"


def by_app(pod: core_v1.Pod) -> list[Hashable]:
    return [meta.labels_of(pod).get("app", "")]


@pytest.fixture
def factory(client) -> InformerFactory:
    return InformerFactory(client)


@asynccontextmanager
async def running(factory: InformerFactory):
    task = asyncio.create_task(factory.run())
    try:
        await asyncio.wait_for(factory.wait_for_sync(), 5)
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_whoever_asks_for_the_same_objects_shares_one_watch(api, factory) -> None:
    pods = factory.informer(core_v1.Pod)
    assert factory.informer(core_v1.Pod, indexes={"app": by_app}) is pods
    assert factory.informer(core_v1.Pod, field_selector="spec.nodeName=n1") is not pods
    assert factory.informer(core_v1.Pod, namespace="default") is not pods
    async with running(factory):
        await eventually(lambda: api.count("GET", watch=True) == 3)
        assert factory.informer(core_v1.Pod) is pods
    assert api.count("GET") == 3


async def test_an_index_that_is_added_later_covers_what_is_there(api, factory) -> None:
    api.put(f"{PODS}/a", {"metadata": {"labels": {"app": "web"}}})
    pods = factory.informer(core_v1.Pod)
    async with running(factory):
        factory.informer(core_v1.Pod, indexes={"app": by_app})
        assert [meta.name_of(pod) for pod in pods.by_index("app", "web")] == ["a"]
        api.put(f"{PODS}/a", {"metadata": {"labels": {"app": "db"}}})
        await eventually(lambda: pods.by_index("app", "db"))
        assert pods.by_index("app", "web") == []


async def test_two_functions_of_one_name_are_refused(factory) -> None:
    factory.informer(core_v1.Pod, indexes={"app": by_app})
    with pytest.raises(ValueError, match="index 'app'"):
        factory.informer(core_v1.Pod, indexes={"app": lambda pod: [""]})


async def test_an_informer_that_is_asked_for_while_others_run_is_started(api, factory) -> None:
    async with running(factory):
        api.put(f"{PODS}/a", {})
        pods = factory.informer(core_v1.Pod)
        await eventually(lambda: len(pods) == 1)


async def test_objects_of_a_kind_that_is_not_compiled_in_are_informed_of_too(api, factory) -> None:
    widgets = scheme.Resource("example.com", "v1", "Pod", "pods", True)
    api.put("/apis/example.com/v1/namespaces/default/pods/w", {"metadata": {"labels": {"size": "3"}}})
    informer = factory.informer(PartialObjectMetadata, served_as=widgets)
    async with running(factory):
        widget = informer.get(Key("default", "w"))
        assert widget is not None
        assert meta.labels_of(widget) == {"size": "3"}


def pod(name: str, app: str) -> core_v1.Pod:
    metadata = ObjectMeta(name=name, namespace="default", uid=name, resource_version=app, labels={"app": app})
    return core_v1.Pod(metadata=metadata)


async def drain(queue: WorkQueue) -> list[object]:
    keys = []
    while len(queue):
        async with queue.next() as key:
            keys.append(key)
    return keys


async def test_a_queue_is_fed_with_the_keys_of_what_changes(factory) -> None:
    pods: Informer[core_v1.Pod] = factory.informer(core_v1.Pod)
    own, apps = WorkQueue[Key]("own"), WorkQueue[str]("apps")
    pods.feed(own)
    pods.feed(apps, lambda pod: [meta.labels_of(pod)["app"]])
    pods._set(pod("a", "web"))
    assert (await drain(own), await drain(apps)) == ([Key("default", "a")], ["web"])
    pods._set(pod("a", "db"))  # as it was and as it is
    assert (await drain(own), await drain(apps)) == ([Key("default", "a")], ["web", "db"])
    pods._delete(Key("default", "a"))
    assert (await drain(own), await drain(apps)) == ([Key("default", "a")], ["db"])


async def test_a_queue_that_is_fed_later_has_the_objects_that_exist(factory) -> None:
    pods: Informer[core_v1.Pod] = factory.informer(core_v1.Pod)
    pods._set(pod("a", "web"))
    queue = WorkQueue[Key]("late")
    pods.feed(queue)
    assert await drain(queue) == [Key("default", "a")]
