"""A deleted namespace goes with all that it holds, and says what it waits for."""

from typing import Any

from apimachinery import errors
from apimachinery.core import conditions
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


async def test_a_deleted_namespace_is_emptied_and_removed(client: Client, controller_manager: DaemonProcess) -> None:
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


async def test_objects_of_every_kind_that_a_namespace_can_hold_are_deleted_with_it(
    apiserver: ApiserverProcess, client: Client, controller_manager: DaemonProcess
) -> None:
    """An object of each kind in discovery, so that a kind that is added later must be among the samples."""
    schemes = [
        resource.scheme
        for resource in (await discover(client)).resources
        if resource.scheme.namespaced and {"list", "create"} <= resource.verbs
    ]
    samples = {(kind.group, kind.version, kind.plural): kind.manifest() for kind in KINDS if kind.namespaced}
    samples |= {("", "v1", plural): CORE[plural] for plural in CORE} | {("coordination.k8s.io", "v1", "leases"): {}}
    async with apiserver.http() as http:
        await http.post("/api/v1/namespaces", json={"metadata": {"name": "full"}})
        for scheme in schemes:
            sample = samples[scheme.group, scheme.version, scheme.plural]
            sample = {**sample, "regarding": {"namespace": "full"}} if scheme.group == "events.k8s.io" else sample
            reply = await http.post(scheme.path("full"), json={"metadata": {"name": "a"}, **sample})
            assert reply.status_code in (201, 409), reply.text  # events of two groups are the same objects
        await client.resource(Namespace).delete("full")
        await eventually(lambda: is_gone(client, "full"), timeout=30)
        for scheme in schemes:
            assert not (await http.get(scheme.path("full"))).json()["items"], scheme


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
        namespace = await client.resource(Namespace).get("shop")
        remaining = conditions.find(namespace.status.conditions, "NamespaceContentRemaining")
        assert remaining is not None
        return remaining.status == "True" and "pods. has 1 resource instances" in (remaining.message or "")

    await eventually(waits)
    await client.resource(Pod).delete("own", namespace="shop", grace_period_seconds=0)  # as its kubelet would
    await eventually(lambda: is_gone(client, "shop"))
