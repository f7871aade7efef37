"""ReplicationControllers against a real apiserver: no kubelet runs, so pods stay as the controller makes them."""

import asyncio
from pathlib import Path

from apimachinery import meta
from apimachinery.types.core_v1 import Event, Pod, ReplicationController
from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.controller_manager.conftest import FLAGS
from tests.integration.daemon_process import DaemonProcess
from tests.objects import make_controller, make_pod
from tests.support import eventually


async def owned(client: Client, count: int, name: str = "rc") -> list[Pod]:
    """The pods of a controller, once there are so many that are not being deleted."""

    async def have() -> list[Pod] | bool:
        page = await client.resource(Pod).list(namespace="default")
        pods = [pod for pod in page.items if (ref := meta.controller_of(pod)) is not None and ref.name == name]
        alive = [pod for pod in pods if not meta.is_being_deleted(pod)]
        return (alive or True) if len(alive) == count else False

    pods = await eventually(have)
    return pods if isinstance(pods, list) else []


async def test_a_controller_makes_its_pods_and_follows_its_replicas(
    client: Client, controller_manager: DaemonProcess
) -> None:
    controllers = client.resource(ReplicationController)
    await controllers.create(make_controller(replicas=3))
    pods = await owned(client, 3)
    assert all(meta.name_of(pod).startswith("rc-") for pod in pods)
    assert all(meta.labels_of(pod) == {"app": "rc"} for pod in pods)
    await controllers.patch("rc", {"spec": {"replicas": 5}}, namespace="default")
    assert {meta.uid_of(pod) for pod in pods} <= {meta.uid_of(pod) for pod in await owned(client, 5)}
    await controllers.patch("rc", {"spec": {"replicas": 1}}, namespace="default")
    await owned(client, 1)

    async def settled() -> bool:
        rc = await controllers.get("rc", namespace="default")
        return rc.status.replicas == 1 and rc.status.observed_generation == rc.metadata.generation

    await eventually(settled)
    events = await client.resource(Event).list(namespace="default")
    assert {"SuccessfulCreate", "SuccessfulDelete"} <= {event.reason for event in events.items}


async def test_a_deleted_pod_is_replaced_and_its_sibling_left_alone(
    client: Client, controller_manager: DaemonProcess
) -> None:
    await client.resource(ReplicationController).create(make_controller(replicas=2))
    victim, sibling = await owned(client, 2)
    await client.resource(Pod).delete(meta.name_of(victim), namespace="default")

    async def replaced() -> bool:
        uids = {meta.uid_of(pod) for pod in await owned(client, 2)}
        return meta.uid_of(victim) not in uids and meta.uid_of(sibling) in uids

    await eventually(replaced)


async def test_a_relabelled_pod_leaves_and_another_takes_its_place(
    client: Client, controller_manager: DaemonProcess
) -> None:
    await client.resource(ReplicationController).create(make_controller(replicas=2))
    leaver, stayer = await owned(client, 2)
    pods = client.resource(Pod)
    await pods.patch(meta.name_of(leaver), {"metadata": {"labels": {"app": "debug"}}}, namespace="default")

    async def replaced() -> bool:
        uids = {meta.uid_of(pod) for pod in await owned(client, 2)}
        return meta.uid_of(leaver) not in uids and meta.uid_of(stayer) in uids

    await eventually(replaced)
    left = await pods.get(meta.name_of(leaver), namespace="default")
    assert meta.controller_of(left) is None
    assert not meta.is_being_deleted(left)


async def test_an_orphan_that_matches_is_adopted_before_pods_are_made(
    client: Client, controller_manager: DaemonProcess
) -> None:
    orphan = await client.resource(Pod).create(make_pod("orphan", labels={"app": "rc"}))
    await client.resource(ReplicationController).create(make_controller(replicas=2))

    async def adopted() -> bool:
        return meta.uid_of(orphan) in {meta.uid_of(pod) for pod in await owned(client, 2)}

    await eventually(adopted)


async def test_pods_of_a_deleted_controller_are_collected(client: Client, controller_manager: DaemonProcess) -> None:
    controllers = client.resource(ReplicationController)
    await controllers.create(make_controller(replicas=3))
    await owned(client, 3)
    await controllers.delete("rc", namespace="default", propagation_policy="Background")

    async def gone() -> bool:
        return not (await client.resource(Pod).list(namespace="default")).items

    await eventually(gone)


async def test_orphaned_pods_of_a_deleted_controller_stay(client: Client, controller_manager: DaemonProcess) -> None:
    controllers = client.resource(ReplicationController)
    await controllers.create(make_controller(replicas=2))
    uids = {meta.uid_of(pod) for pod in await owned(client, 2)}
    await controllers.delete("rc", namespace="default", propagation_policy="Orphan")

    async def orphaned() -> bool:
        rcs = (await controllers.list(namespace="default")).items
        pods = (await client.resource(Pod).list(namespace="default")).items
        assert {meta.uid_of(pod) for pod in pods} == uids
        return not rcs and all(not pod.metadata.owner_references for pod in pods)

    await eventually(orphaned)


async def test_in_the_foreground_pods_go_before_their_controller(
    client: Client, controller_manager: DaemonProcess
) -> None:
    controllers, pods = client.resource(ReplicationController), client.resource(Pod)
    await controllers.create(make_controller(replicas=2))
    held, _ = await owned(client, 2)
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    await pods.patch(meta.name_of(held), hold, namespace="default", kind="merge")
    await controllers.delete("rc", namespace="default", propagation_policy="Foreground")

    async def only_held() -> bool:
        left = (await pods.list(namespace="default")).items
        return [meta.uid_of(pod) for pod in left] == [meta.uid_of(held)]

    await eventually(only_held)
    assert meta.is_being_deleted(await controllers.get("rc", namespace="default"))
    await pods.patch(meta.name_of(held), {"metadata": {"finalizers": None}}, namespace="default", kind="merge")

    async def gone() -> bool:
        return not (await controllers.list(namespace="default")).items

    await eventually(gone)


async def test_two_managers_make_each_pod_once_and_the_second_takes_over(
    client: Client, apiserver: ApiserverProcess, controller_manager: DaemonProcess, tmp_path: Path
) -> None:
    second = DaemonProcess(tmp_path, "controller_manager", apiserver.kubeconfig, *FLAGS)
    try:
        await second.start()
        controllers = client.resource(ReplicationController)
        await controllers.create(make_controller(replicas=8))
        await owned(client, 8)
        await asyncio.to_thread(controller_manager.stop)
        await controllers.patch("rc", {"spec": {"replicas": 10}}, namespace="default")
        await owned(client, 10)

        async def recorded() -> bool:  # events are written a moment after what they report
            events = (await client.resource(Event).list()).items
            return len([event for event in events if event.reason == "SuccessfulCreate"]) == 10

        await eventually(recorded)
        assert len(await owned(client, 10)) == 10
    finally:
        second.stop()


async def test_a_killed_manager_goes_on_where_it_was(client: Client, controller_manager: DaemonProcess) -> None:
    controllers = client.resource(ReplicationController)
    await controllers.create(make_controller(replicas=30))
    await controller_manager.restart()
    pods = {meta.uid_of(pod) for pod in await owned(client, 30)}
    await controllers.patch("rc", {"spec": {"replicas": 31}}, namespace="default")
    assert pods < {meta.uid_of(pod) for pod in await owned(client, 31)}
