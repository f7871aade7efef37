"""Namespace deletion and garbage collection of kinds that no controller of ours makes."""

from typing import Any

from apimachinery import errors, meta
from apimachinery.types.core_v1 import ConfigMap, Namespace, Pod, ReplicationController, Secret
from apimachinery.types.meta_v1 import ObjectMeta
from controller_manager.api_resources import discover
from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.daemon_process import DaemonProcess
from tests.kinds import KINDS
from tests.objects import make_controller, make_pod
from tests.support import eventually


async def is_gone(client: Client, name: str) -> bool:
    try:
        await client.resource(Namespace).get(name)
    except errors.NotFound:
        return True
    return False


async def test_a_deleted_namespace_is_emptied_and_goes(client: Client, controller_manager: DaemonProcess) -> None:
    await client.resource(Namespace).create(Namespace(metadata=ObjectMeta(name="shop")))
    await client.resource(ConfigMap).create(ConfigMap(metadata=ObjectMeta(name="c", namespace="shop")))
    await client.resource(Secret).create(Secret(metadata=ObjectMeta(name="s", namespace="shop")))
    await client.resource(ReplicationController).create(make_controller(namespace="shop", replicas=3))
    await client.resource(Pod).create(make_pod("own", namespace="shop"))
    await client.resource(ConfigMap).create(ConfigMap(metadata=ObjectMeta(name="c", namespace="default")))
    await client.resource(Namespace).delete("shop")
    await eventually(lambda: is_gone(client, "shop"))
    assert not (await client.resource(Pod).list(namespace="shop")).items
    await client.resource(ConfigMap).get("c", namespace="default")


async def test_objects_of_every_kind_that_a_namespace_can_hold_go_with_it(
    apiserver: ApiserverProcess, client: Client, controller_manager: DaemonProcess
) -> None:
    """One of each kind that discovery shows, so that a kind that comes later must be among the samples."""
    found = (await discover(client)).resources
    listed = [one for one in found if one.scheme.namespaced and {"list", "create"} <= one.verbs]
    samples = {(one.group, one.version, one.plural): one.manifest() for one in KINDS if one.namespaced}
    samples |= {("", "v1", plural): CORE[plural] for plural in CORE} | {("coordination.k8s.io", "v1", "leases"): {}}
    async with apiserver.http() as http:
        await http.post("/api/v1/namespaces", json={"metadata": {"name": "full"}})
        for one in listed:
            place = one.scheme.path("full")
            sample = samples[one.scheme.group, one.scheme.version, one.scheme.plural]
            sample = {**sample, "regarding": {"namespace": "full"}} if one.scheme.group == "events.k8s.io" else sample
            reply = await http.post(place, json={"metadata": {"name": "a"}, **sample})
            assert reply.status_code in (201, 409), reply.text  # events of two groups are the same objects
        await client.resource(Namespace).delete("full")
        await eventually(lambda: is_gone(client, "full"), timeout=30)
        for one in listed:
            assert not (await http.get(one.scheme.path("full"))).json()["items"], one


CONTAINERS = [{"name": "c", "image": "i"}]
CORE: dict[str, dict[str, Any]] = {
    "configmaps": {},
    "endpoints": {},
    "events": {"involvedObject": {"namespace": "full", "name": "x"}},
    "pods": {"spec": {"containers": CONTAINERS}},
    "replicationcontrollers": {
        "spec": {"replicas": 0, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": CONTAINERS}}},
    },
    "secrets": {},
    "services": {"spec": {"ports": [{"port": 80}]}},
}  # fmt: skip


async def test_a_namespace_waits_for_pods_that_are_still_ending_and_says_so(
    client: Client, controller_manager: DaemonProcess
) -> None:
    await client.resource(Namespace).create(Namespace(metadata=ObjectMeta(name="shop")))
    await client.resource(Pod).create(make_pod("own", namespace="shop", node="n1"))
    await client.resource(Namespace).delete("shop")

    async def waits() -> bool:
        found = await client.resource(Namespace).get("shop")
        remaining = {one.type: one for one in found.status.conditions or ()}.get("NamespaceContentRemaining")
        assert remaining is not None
        return remaining.status == "True" and "pods. has 1 resource instances" in (remaining.message or "")

    await eventually(waits)
    await client.resource(Pod).delete("own", namespace="shop", grace_period_seconds=0)  # as its kubelet would
    await eventually(lambda: is_gone(client, "shop"))


async def test_what_belongs_to_several_goes_with_the_last_of_them(
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
        found = await secrets.get("child", namespace="default")
        return [one.name for one in found.metadata.owner_references or ()] == ["b"]

    await eventually(one_owner)
    await maps.delete("b", namespace="default")

    async def gone() -> bool:
        return not [one for one in (await secrets.list(namespace="default")).items if meta.name_of(one) == "child"]

    await eventually(gone)


async def test_an_object_that_names_an_owner_that_never_was_goes(
    client: Client, controller_manager: DaemonProcess
) -> None:
    maps = client.resource(ConfigMap)
    owner = await maps.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="default")))
    reference = meta.owner_reference(owner, controller=False)
    reference.uid = "00000000-0000-0000-0000-000000000000"
    child = ConfigMap(metadata=ObjectMeta(name="child", namespace="default", owner_references=[reference]))
    await maps.create(child)

    async def gone() -> bool:
        return "child" not in [meta.name_of(one) for one in (await maps.list(namespace="default")).items]

    await eventually(gone)
    await maps.get("a", namespace="default")
