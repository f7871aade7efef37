"""The scheduler against a real apiserver: pods get nodes, once, or a message that says why not."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from apimachinery import errors, meta
from apimachinery.core.pods import condition as pod_condition
from apimachinery.types.core_v1 import Binding, Event, Node, ObjectReference, Pod
from apimachinery.types.meta_v1 import ObjectMeta
from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.daemon_process import DaemonProcess
from tests.objects import make_node, make_pod
from tests.support import eventually


async def add_node(client: Client, node: Node) -> None:
    nodes = client.resource(Node)
    await nodes.create(node)
    await nodes.patch(meta.name_of(node), {"status": node.status}, subresource="status")


async def bound(client: Client, count: int) -> dict[str, str]:
    """Node by pod, once ``count`` pods have one."""

    async def have() -> dict[str, str]:
        pods = (await client.resource(Pod).list(namespace="default")).items
        nodes = {meta.name_of(pod): pod.spec.node_name for pod in pods if pod.spec.node_name}
        assert len(nodes) >= count, nodes
        return nodes

    return await eventually(have, timeout=30)


async def refused(client: Client, name: str, why: str) -> None:
    async def has_condition() -> bool:
        pod = await client.resource(Pod).get(name, namespace="default")
        scheduled = pod_condition(pod, "PodScheduled")
        assert scheduled is not None
        assert (scheduled.status, scheduled.reason, scheduled.message) == ("False", "Unschedulable", why)
        return True

    await eventually(has_condition)


async def test_pods_are_spread_and_their_binding_is_an_event(client: Client, scheduler: DaemonProcess) -> None:
    await add_node(client, make_node("n1"))
    await add_node(client, make_node("n2"))
    for i in range(10):
        await client.resource(Pod).create(make_pod(f"p{i}", requests={"cpu": "100m", "memory": "100Mi"}))
    nodes = await bound(client, 10)
    assert Counter(nodes.values()) == {"n1": 5, "n2": 5}

    async def recorded() -> bool:
        events = (await client.resource(Event).list(namespace="default")).items
        messages = {event.message for event in events if event.reason == "Scheduled"}
        return f"Successfully assigned default/p0 to {nodes['p0']}" in messages

    await eventually(recorded)


async def test_a_pod_that_fits_nowhere_says_why_and_is_bound_when_a_node_comes(
    client: Client, scheduler: DaemonProcess
) -> None:
    await add_node(client, make_node("n1", cpu="1"))
    await client.resource(Pod).create(make_pod("big", requests={"cpu": "3"}))
    await refused(client, "big", "0/1 nodes are available: 1 Insufficient cpu.")
    events = (await client.resource(Event).list(namespace="default")).items
    assert [event.type for event in events if event.reason == "FailedScheduling"] == ["Warning"]
    await add_node(client, make_node("n2", cpu="4"))
    assert await bound(client, 1) == {"big": "n2"}


async def test_room_that_a_deleted_pod_leaves_is_used(client: Client, scheduler: DaemonProcess) -> None:
    await add_node(client, make_node("n1", cpu="1"))
    pods = client.resource(Pod)
    await pods.create(make_pod("first", requests={"cpu": "1"}))
    await bound(client, 1)
    await pods.create(make_pod("second", requests={"cpu": "1"}))
    await refused(client, "second", "0/1 nodes are available: 1 Insufficient cpu.")
    await pods.delete("first", namespace="default", grace_period_seconds=0)
    assert await bound(client, 1) == {"second": "n1"}


async def test_an_uncordoned_node_takes_what_waits(client: Client, scheduler: DaemonProcess) -> None:
    await add_node(client, make_node("n1", unschedulable=True))
    await client.resource(Pod).create(make_pod("a"))
    await refused(client, "a", "0/1 nodes are available: 1 node(s) were unschedulable.")
    await client.resource(Node).patch("n1", {"spec": {"unschedulable": None}}, kind="merge")
    await bound(client, 1)


async def test_no_node_is_filled_beyond_its_room(client: Client, scheduler: DaemonProcess) -> None:
    for i in range(4):
        await add_node(client, make_node(f"n{i}", cpu="1"))
    pods = client.resource(Pod)
    await asyncio.gather(*(pods.create(make_pod(f"p{i}", requests={"cpu": "250m"})) for i in range(20)))
    nodes = await bound(client, 16)

    async def rest_refused() -> bool:
        waiting = [pod for pod in (await pods.list(namespace="default")).items if not pod.spec.node_name]
        return len(waiting) == 4 and all(pod.status.conditions for pod in waiting)

    await eventually(rest_refused)
    assert set(Counter(nodes.values()).values()) == {4}


async def test_another_schedulers_pods_are_left_alone(client: Client, scheduler: DaemonProcess) -> None:
    await add_node(client, make_node("n1"))
    await client.resource(Pod).create(make_pod("theirs", scheduler_name="other"))
    await client.resource(Pod).create(make_pod("ours"))
    assert await bound(client, 1) == {"ours": "n1"}
    assert (await client.resource(Pod).get("theirs", namespace="default")).spec.node_name is None


async def test_a_killed_scheduler_goes_on_and_so_does_one_whose_apiserver_was_away(
    client: Client, scheduler: DaemonProcess, apiserver: ApiserverProcess
) -> None:
    await add_node(client, make_node("n1"))
    pods = client.resource(Pod)
    await pods.create(make_pod("a"))
    await bound(client, 1)
    await scheduler.restart()
    await pods.create(make_pod("b"))
    await bound(client, 2)
    await apiserver.restart()
    await pods.create(make_pod("c"))
    await bound(client, 3)


async def test_two_schedulers_bind_each_pod_once_and_the_second_takes_over(
    client: Client, scheduler: DaemonProcess, apiserver: ApiserverProcess, tmp_path: Path
) -> None:
    await add_node(client, make_node("n1"))
    second = DaemonProcess(tmp_path, "scheduler", apiserver.kubeconfig)
    pods = client.resource(Pod)
    try:
        await second.start()
        await asyncio.gather(*(pods.create(make_pod(f"p{i}")) for i in range(30)))
        await bound(client, 30)
        await asyncio.to_thread(scheduler.stop)
        await pods.create(make_pod("late"))
        await bound(client, 31)
        events = (await client.resource(Event).list()).items
        bindings = Counter(event.message for event in events if event.reason == "Scheduled")
        assert max(bindings.values()) == 1
    finally:
        second.stop()


async def test_a_binding_for_another_pod_of_the_name_is_refused(client: Client, apiserver: ApiserverProcess) -> None:
    """What the scheduler's UID in the Binding relies on."""
    await add_node(client, make_node("n1"))
    pods = client.resource(Pod)
    await pods.create(make_pod("a"))
    metadata = ObjectMeta(name="a", namespace="default", uid="another")
    binding = Binding(metadata=metadata, target=ObjectReference(kind="Node", name="n1"))
    with pytest.raises(errors.Conflict):
        await pods.create_subresource("a", "binding", binding, namespace="default")
