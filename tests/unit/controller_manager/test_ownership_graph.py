"""Who waits for whom when owners are deleted in the foreground, and what a reference must say to mean an object."""

import pytest

from apimachinery.scheme import Resource
from apimachinery.types.meta_v1 import ObjectMeta, OwnerReference
from apimachinery.types.objects import PartialObjectMetadata
from controller_manager.api_resources import ApiResource
from controller_manager.ownership_graph import FOREGROUND, Item, OwnershipGraph

PODS = ApiResource(Resource("", "v1", "Pod", "pods", True), frozenset())
SCALERS = ApiResource(Resource("autoscaling", "v2", "HorizontalPodAutoscaler", "x", True), frozenset())
NODES = ApiResource(Resource("", "v1", "Node", "nodes", False), frozenset())


def reference(name: str, kind: str = "Pod", version: str = "v1", blocks: bool = True) -> OwnerReference:
    return OwnerReference(api_version=version, kind=kind, name=name, uid=f"uid-{name}", block_owner_deletion=blocks)


def item(
    name: str, *owners: OwnerReference, resource: ApiResource = PODS, namespace: str = "default", deleting: bool = True
) -> Item:
    metadata = ObjectMeta(name=name, namespace=namespace, uid=f"uid-{name}", owner_references=[*owners])
    if deleting:
        metadata.deletion_timestamp, metadata.finalizers = "2026-01-01T00:00:00Z", [FOREGROUND]
    return Item(resource, PartialObjectMetadata(metadata=metadata))


def waiting(target: str, *items: Item) -> list[str]:
    graph = OwnershipGraph()
    for each in items:
        graph.put(each)
    node = graph.get(f"uid-{target}")
    assert node is not None
    return sorted(each.uid.removeprefix("uid-") for each in graph.waiting_on(node))


def test_owners_that_are_deleted_in_the_foreground_wait_for_what_blocks_them() -> None:
    chain = item("a"), item("b", reference("a")), item("c", reference("b"))
    assert waiting("c", *chain) == ["a", "b"]
    assert waiting("a", *chain) == []


def test_in_a_circle_each_waits_for_itself() -> None:
    assert waiting("a", item("a", reference("a"))) == ["a"]
    circle = item("a", reference("c")), item("b", reference("a")), item("c", reference("b"))
    assert waiting("a", *circle) == ["a", "b", "c"]


def test_nobody_waits_who_is_not_blocked_or_not_being_deleted() -> None:
    assert waiting("b", item("a"), item("b", reference("a", blocks=False))) == []
    assert waiting("b", item("a", deleting=False), item("b", reference("a"))) == []


@pytest.mark.parametrize(
    ("reference", "owner", "means"),
    [
        (reference("a"), item("a"), True),
        (reference("a", kind="Secret"), item("a"), False),
        (reference("a", version="other/v1"), item("a"), False),
        (reference("a"), item("a", namespace="elsewhere"), False),
        (reference("a", "Node"), item("a", resource=NODES, namespace=""), True),
        (reference("a", "HorizontalPodAutoscaler", "autoscaling/v1"), item("a", resource=SCALERS), True),
    ],
    ids=["right", "kind", "group", "namespace", "cluster-scoped", "version"],
)
def test_a_reference_means_an_object_by_group_kind_name_and_scope(
    reference: OwnerReference, owner: Item, means: bool
) -> None:
    assert owner.is_named_by(reference, item("dependent", reference)) is means
