"""Which objects go with their owners, in front of a real apiserver."""

import pytest

from apimachinery import errors, meta
from apimachinery.types.autoscaling_v2 import (
    CrossVersionObjectReference,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec,
)
from apimachinery.types.core_v1 import ConfigMap, Event, Namespace, Pod, Secret
from apimachinery.types.meta_v1 import ObjectMeta, OwnerReference
from kube_client import Client, Resource
from tests.integration.daemon_process import DaemonProcess
from tests.objects import make_pod
from tests.support import eventually


async def is_gone(resource: Resource, name: str, namespace: str | None = None) -> bool:
    try:
        await resource.get(name, namespace=namespace)
    except errors.NotFound:
        return True
    return False


async def test_an_object_with_several_owners_is_deleted_with_the_last_of_them(
    client: Client, controller_manager: DaemonProcess
) -> None:
    maps = client.resource(ConfigMap)
    owners = [await maps.create(ConfigMap(metadata=ObjectMeta(name=n, namespace="default"))) for n in ("a", "b")]
    references = [meta.owner_reference(owner, controller=False) for owner in owners]
    metadata = ObjectMeta(name="child", namespace="default", owner_references=references)
    secrets = client.resource(Secret)
    await secrets.create(Secret(metadata=metadata))
    await maps.delete("a", namespace="default")

    async def one_owner() -> bool:
        child = await secrets.get("child", namespace="default")
        return [owner.name for owner in child.metadata.owner_references or ()] == ["b"]

    await eventually(one_owner)
    await maps.delete("b", namespace="default")

    async def gone() -> bool:
        return "child" not in map(meta.name_of, (await secrets.list(namespace="default")).items)

    await eventually(gone)


async def test_an_object_whose_owner_never_existed_is_deleted(
    client: Client, controller_manager: DaemonProcess
) -> None:
    maps = client.resource(ConfigMap)
    owner = await maps.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="default")))
    reference = meta.owner_reference(owner, controller=False)
    reference.uid = "00000000-0000-0000-0000-000000000000"
    child = ConfigMap(metadata=ObjectMeta(name="child", namespace="default", owner_references=[reference]))
    await maps.create(child)

    async def gone() -> bool:
        return "child" not in map(meta.name_of, (await maps.list(namespace="default")).items)

    await eventually(gone)
    await maps.get("a", namespace="default")


def blocking(owner: Pod) -> OwnerReference:
    return meta.owner_reference(owner)


async def own_in_a_circle(pods: Resource[Pod], names: list[str]) -> None:
    created = {name: await pods.create(make_pod(name)) for name in names}
    for name, owner in zip(names, [*names[1:], names[0]], strict=True):
        patch = {"metadata": {"ownerReferences": [blocking(created[owner])]}}
        await pods.patch(name, patch, namespace="default", kind="merge")


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]], ids=["itself", "three"])
@pytest.mark.parametrize("at_once", [False, True], ids=["one", "all"])
async def test_objects_that_own_each_other_in_a_circle_can_be_deleted_in_the_foreground(
    client: Client, controller_manager: DaemonProcess, names: list[str], at_once: bool
) -> None:
    pods = client.resource(Pod)
    await own_in_a_circle(pods, names)
    for name in names if at_once else names[:1]:
        await pods.delete(name, namespace="default", propagation_policy="Foreground")
    for name in names:
        await eventually(lambda name=name: is_gone(pods, name, "default"))
    assert (await controller_manager.get("/healthz"))[0] == 200


async def test_a_reference_is_judged_by_kind_and_name_before_its_uid(
    client: Client, controller_manager: DaemonProcess
) -> None:
    maps = client.resource(ConfigMap)
    owner = await maps.create(ConfigMap(metadata=ObjectMeta(name="owner", namespace="default")))
    right = meta.owner_reference(owner, controller=False)
    references = {
        "right": right,
        "other-kind": OwnerReference(api_version="v1", kind="Secret", name="owner", uid=right.uid),
        "other-name": OwnerReference(api_version="v1", kind="ConfigMap", name="other", uid=right.uid),
        "kind-not-served": OwnerReference(api_version="v1", kind="Other", name="owner", uid=right.uid),
    }
    for name, reference in references.items():
        metadata = ObjectMeta(name=name, namespace="default", owner_references=[reference])
        await maps.create(ConfigMap(metadata=metadata))
    both = ObjectMeta(name="both", namespace="default", owner_references=[right, references["other-kind"]])
    await maps.create(ConfigMap(metadata=both))
    await eventually(lambda: is_gone(maps, "other-kind", "default"))
    await eventually(lambda: is_gone(maps, "other-name", "default"))
    await collected_something(maps)
    for name in ("right", "kind-not-served"):
        await maps.get(name, namespace="default")
    assert (await maps.get("both", namespace="default")).metadata.owner_references == [right]


async def test_a_cluster_scoped_object_is_kept_whatever_namespaced_owner_it_names(
    client: Client, controller_manager: DaemonProcess
) -> None:
    maps, namespaces = client.resource(ConfigMap), client.resource(Namespace)
    owner = await maps.create(ConfigMap(metadata=ObjectMeta(name="owner", namespace="default")))
    reference = meta.owner_reference(owner, controller=False)
    await namespaces.create(Namespace(metadata=ObjectMeta(name="shop", owner_references=[reference])))
    await maps.create(ConfigMap(metadata=ObjectMeta(name="child", namespace="shop", owner_references=[reference])))

    events = client.resource(Event)
    named = f"[v1/ConfigMap, namespace: {{0}}, name: owner, uid: {reference.uid}]"
    message = f'ownerRef {named} does not exist in namespace "{{0}}"'

    async def reported(kind: str) -> Event | None:
        listed = (await events.list(field_selector=f"reason=OwnerRefInvalidNamespace,involvedObject.kind={kind}")).items
        return listed[0] if listed else None

    of_namespace = await eventually(lambda: reported("Namespace"))
    assert (of_namespace.type, of_namespace.message) == ("Warning", message.format(""))
    of_child = await eventually(lambda: reported("ConfigMap"))
    assert (of_child.metadata.namespace, of_child.message) == ("shop", message.format("shop"))
    await eventually(lambda: is_gone(maps, "child", "shop"))
    await maps.delete("owner", namespace="default")
    await collected_something(maps)
    assert not meta.is_being_deleted(await namespaces.get("shop"))


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_an_owner_may_be_named_by_any_version_of_its_kind_that_is_served(
    client: Client, controller_manager: DaemonProcess, version: str
) -> None:
    scalers = client.resource(HorizontalPodAutoscaler)
    target = CrossVersionObjectReference(kind="ReplicationController", name="web", api_version="v1")
    spec = HorizontalPodAutoscalerSpec(max_replicas=2, scale_target_ref=target)
    owner = await scalers.create(
        HorizontalPodAutoscaler(metadata=ObjectMeta(name="owner", namespace="default"), spec=spec)
    )
    reference = meta.owner_reference(owner, controller=False)
    reference.api_version = f"autoscaling/{version}"
    maps = client.resource(ConfigMap)
    await maps.create(ConfigMap(metadata=ObjectMeta(name="child", namespace="default", owner_references=[reference])))
    await collected_something(maps)
    await maps.get("child", namespace="default")
    await scalers.delete("owner", namespace="default")
    await eventually(lambda: is_gone(maps, "child", "default"))


async def collected_something(maps: Resource[ConfigMap]) -> None:
    """The collector has dealt with what was created before."""
    gone = OwnerReference(api_version="v1", kind="ConfigMap", name="gone", uid="00000000-0000-0000-0000-000000000000")
    await maps.create(ConfigMap(metadata=ObjectMeta(name="dangling", namespace="default", owner_references=[gone])))
    await eventually(lambda: is_gone(maps, "dangling", "default"))
