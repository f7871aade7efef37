"""Whom a pod's change concerns, for owners of any kind; adoption itself is tested against a real apiserver."""

import pytest

from apimachinery import meta, selectors
from apimachinery.meta import Key
from apimachinery.types.apps_v1 import ReplicaSet, ReplicaSetSpec
from apimachinery.types.core_v1 import Pod
from apimachinery.types.meta_v1 import LabelSelector, ObjectMeta
from component_base.flags import parse
from controller_manager.context import ControllerContext
from controller_manager.controller_options import ControllerOptions
from controller_manager.pod_adoption import PodAdoption
from kube_client import Client, Config, EventRecorder, Expectations, InformerFactory, WorkQueue
from tests.objects import make_controller, make_pod


class ReplicaSets:
    """What a controller of ReplicaSets would have: the adoption, a queue, expectations."""

    def __init__(self, context: ControllerContext) -> None:
        self.informer, self.pods = context.informer(ReplicaSet), context.informer(Pod)
        self.adoption = PodAdoption(
            context, ReplicaSet, lambda owner: selectors.from_label_selector(owner.spec.selector)
        )
        self.queue, self.expectations = WorkQueue[Key]("replicaset"), Expectations()
        self.adoption.feed(self.queue, self.expectations)

    async def queued(self) -> set[Key]:
        keys = set()
        while len(self.queue):
            async with self.queue.next() as key:
                keys.add(key)
        return keys


@pytest.fixture
async def sets() -> ReplicaSets:
    client = Client(Config(server="http://127.0.0.1:1"))
    recorder = EventRecorder(client, "controller-manager")
    return ReplicaSets(
        ControllerContext(client, InformerFactory(client), recorder, parse(ControllerOptions, "tests", "", []))
    )


def replica_set(name: str, **labels: str) -> ReplicaSet:
    return ReplicaSet(
        api_version="apps/v1",
        kind="ReplicaSet",
        metadata=ObjectMeta(name=name, namespace="default", uid=f"uid-{name}"),
        spec=ReplicaSetSpec(selector=LabelSelector(match_labels=labels)),
    )


def owned(name: str, owner: ReplicaSet, version: str = "1") -> Pod:
    pod = make_pod(name, labels={"app": "web"})
    pod.metadata.owner_references, pod.metadata.resource_version = [meta.owner_reference(owner)], version
    return pod


async def test_a_pod_concerns_the_owner_of_the_right_kind_and_group(sets: ReplicaSets) -> None:
    web = replica_set("web", app="web")
    assert sets.adoption.owner_key(owned("a", web)) == Key("default", "web")
    other_group = replica_set("web", app="web")
    other_group.api_version = "example.com/v1"
    assert sets.adoption.owner_key(owned("b", other_group)) is None
    other_kind = make_pod("c")
    other_kind.metadata.owner_references = [meta.owner_reference(make_controller("web"))]
    assert sets.adoption.owner_key(other_kind) is None
    assert sets.adoption.owner_key(make_pod("d")) is None


async def test_a_pods_change_is_its_owners_work_and_fulfils_what_that_expects(sets: ReplicaSets) -> None:
    web = replica_set("web", app="web")
    with sets.expectations.creation(Key("default", "web")):
        pass
    assert not sets.expectations.met(Key("default", "web"))
    sets.pods._set(owned("a", web))
    assert await sets.queued() == {Key("default", "web")}
    assert sets.expectations.met(Key("default", "web"))


async def test_a_pod_that_changes_owners_concerns_both(sets: ReplicaSets) -> None:
    sets.pods._set(owned("a", replica_set("web", app="web"), "1"))
    await sets.queued()
    sets.pods._set(owned("a", replica_set("other", app="web"), "2"))
    assert await sets.queued() == {Key("default", "web"), Key("default", "other")}


async def test_an_orphan_concerns_each_owner_that_selects_it_while_it_counts(sets: ReplicaSets) -> None:
    for name, app in (("web", "web"), ("all", "web"), ("db", "db")):
        sets.informer._set(replica_set(name, app=app))
    sets.pods._set(make_pod("a", labels={"app": "web"}))
    assert await sets.queued() == {Key("default", "web"), Key("default", "all")}
    sets.pods._set(make_pod("b", labels={"app": "web"}, phase="Succeeded"))
    assert await sets.queued() == set()
